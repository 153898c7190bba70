"""The same work in other frameworks, each as its own documentation would have it written."""
