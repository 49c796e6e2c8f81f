"""A web page and a REST service on one small server: pictures go in over HTTP, and come out larger."""
