"""The benchmark of imgsvc: measures the cost of moving and finding images, and compares it with other programs."""
