"""A small HTTP server with a web page and a REST API that enlarge pictures."""
