//! Exponential numbers, the same on every machine: the logarithm is made of whole numbers, because that of a system's library
//! may differ in its last bit from that of another, and one microsecond makes another run.

/// So many bits of a logarithm stand behind the point.
const BITS: u32 = 40;
/// So many bits of a uniform number are used, as many as one of `rand` has.
const UNIFORM_BITS: u32 = 53;
/// ln 2, with 63 bits behind the point.
const LN_2: u128 = 6_393_154_322_601_327_829;

/// An exponential number with the mean 1, from 64 random bits.
pub fn exponential(random: u64) -> f64 {
    let whole = minus_ln(random >> (u64::BITS - UNIFORM_BITS));
    // Below 2^46, so this is exact.
    whole as f64 / (1_u64 << BITS) as f64
}

/// -ln(1 - u) for the uniform u = `uniform` / 2^53, with [`BITS`] behind the point.
fn minus_ln(uniform: u64) -> u64 {
    // In 1 ..= 2^53, so the logarithm is finite.
    let parts = (1 << UNIFORM_BITS) - uniform;
    let exponent = parts.ilog2();
    // In [1, 2) with 63 bits behind the point; each squaring brings the next bit of its binary logarithm in front of it.
    let mut mantissa = u128::from(parts) << (63 - exponent);
    let mut binary = u64::from(exponent);
    for _ in 0..BITS {
        mantissa = (mantissa * mantissa) >> 63;
        let bit = mantissa >> 64;
        mantissa >>= bit;
        binary = (binary << 1) | u64::from(bit == 1);
    }
    let below = (u64::from(UNIFORM_BITS) << BITS) - binary;
    u64::try_from((u128::from(below) * LN_2) >> 63).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(
        clippy::disallowed_methods,
        reason = "only to compare, and not to the last bit"
    )]
    fn the_logarithm_is_that_of_mathematics_and_to_the_bit_what_it_was() {
        let whole = 1_u64 << UNIFORM_BITS;
        assert_eq!(minus_ln(0), 0);
        // ln 2, 2 ln 2 and 53 ln 2, cut off.
        assert_eq!(minus_ln(whole / 2), 762_123_384_785);
        assert_eq!(minus_ln(whole - whole / 4), 1_524_246_769_571);
        assert_eq!(minus_ln(whole - 1), 40_392_539_393_647);
        for step in 1..1000 {
            let uniform = whole / 1000 * step;
            let exact = -(1.0 - uniform as f64 / whole as f64).ln();
            let found = exponential(uniform << (u64::BITS - UNIFORM_BITS));
            assert!((found - exact).abs() < 1e-11, "{step}: {found} {exact}");
        }
    }
}
