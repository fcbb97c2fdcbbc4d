"""Hardware, installs, worker processes and the engines that run in them."""
