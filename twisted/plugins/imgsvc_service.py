"""Lets twistd find `imgsvc`."""

from __future__ import annotations

from twisted.application.service import ServiceMaker

imgsvc = ServiceMaker("imgsvc", "imgsvc.tap", "OpenStack Image API v2 server", "imgsvc")
