//! For the administrator.
