mod crash;
mod errors;
mod floors;
mod isolation;
mod session;
mod streams;
