"""The places bytes can be, behind two protocols (see `base`), one file or folder per kind."""
