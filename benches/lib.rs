//! Home of the criterion benches; the code is in the bench targets beside this file.
