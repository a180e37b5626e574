"""What travels: the shapes of bodies, checked in one pass; they make the OpenAPI document, too."""
