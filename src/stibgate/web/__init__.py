"""HTTP doors: the receiver on the public listener, health on the admin one."""
