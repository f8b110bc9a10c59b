//! Q05xx: precision, tuning, plans, engine files, runs.

codes! {
    DAMAGED = "Q0501", "the engine file is damaged or foreign",
        "The magic, the version, a length or a checksum does not fit. An engine is never repaired: build it again \
         with `quantize build`. If it was copied, copy it again and compare the sizes.";
}
