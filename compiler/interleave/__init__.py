"""Several images in one program: their instructions in an order in which one image works while another waits."""
