//! Protect: a message, its treatment and the keys in, the protected message out. Never decides, never delivers.
