//! Two readers of one message: where the quick one reads it, the complete one
//! reads the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tiergate::grpc::oracle::compare;

fuzz_target!(|message: &[u8]| {
    if let Err(what) = compare(message) {
        panic!("{what}");
    }
});
