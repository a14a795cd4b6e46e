//! The configuration from the outside: what is refused, what is printed and what the program says.

mod bad;
mod binary;
mod environment;
mod example;
mod good;
mod secrets;
mod support;
