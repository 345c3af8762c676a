"""MT-VGC's questions and expressions as files that evaluation kits run; a file here a form."""
