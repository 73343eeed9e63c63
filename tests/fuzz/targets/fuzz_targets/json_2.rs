#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::odoo_answers::json_2(data));
