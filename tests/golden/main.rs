//! Archives of every version of the format, made once: each must open for ever, with Sealpost and without it.

mod damaged;
mod fixture;
mod make;
mod recover;
mod whole;
