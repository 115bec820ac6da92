"""The benchmark of imgsvc: what it costs to move and to find images, beside other programs that do the same work."""
