"""The description of the API (OpenAPI 3.1): one module for each part, put together by `document.describe`."""
