//! Which vector instruction set the kernels use: detected once, or forced by `OCELLUS_ISA`.

use std::sync::OnceLock;

/// Environment variable that forces an instruction set: `scalar`, `avx2`, `avx512` or `neon`.
pub const ISA_VARIABLE: &str = "OCELLUS_ISA";

/// An instruction set that kernels are written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Isa {
    /// Portable Rust, on every machine.
    Scalar,
    /// x86-64 with AVX2 (Haswell, Zen and later).
    Avx2,
    /// x86-64 with AVX-512 F, BW, VL and VPOPCNTDQ (Ice Lake, Zen 4 and later).
    Avx512,
    /// 64-bit ARM; its 32-bit form is not in stable Rust and runs as [`Isa::Scalar`].
    Neon,
}

impl Isa {
    /// All instruction sets, whether this machine has them or not.
    pub const ALL: [Isa; 4] = [Isa::Scalar, Isa::Avx2, Isa::Avx512, Isa::Neon];

    /// The name used in `OCELLUS_ISA` and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Scalar => "scalar",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
            Isa::Neon => "neon",
        }
    }

    /// Whether this machine can run it.
    pub fn is_available(self) -> bool {
        match self {
            Isa::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => is_x86_feature_detected!("avx2"),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512vpopcntdq")
            }
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => std::arch::is_aarch64_feature_detected!("neon"),
            #[allow(unreachable_patterns)] // which ones are left depends on the architecture
            _ => false,
        }
    }

    /// This one if the machine has it, otherwise the best lower one that it has.
    pub fn or_lower(self) -> Isa {
        match self {
            _ if self.is_available() => self,
            Isa::Avx512 => Isa::Avx2.or_lower(),
            _ => Isa::Scalar,
        }
    }

    /// The fastest one that the machine has.
    pub fn best() -> Isa {
        if Isa::Neon.is_available() { Isa::Neon } else { Isa::Avx512.or_lower() }
    }

    /// What a value of `OCELLUS_ISA` selects; a name that is not known selects the best.
    fn from_setting(setting: Option<&str>) -> Isa {
        let forced = setting.and_then(|name| Isa::ALL.into_iter().find(|isa| isa.name().eq_ignore_ascii_case(name)));
        forced.map_or_else(Isa::best, Isa::or_lower)
    }
}

/// The instruction set of this process, chosen at the first call.
pub fn isa() -> Isa {
    static CHOSEN: OnceLock<Isa> = OnceLock::new();
    *CHOSEN.get_or_init(|| Isa::from_setting(std::env::var(ISA_VARIABLE).ok().as_deref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_never_selects_what_the_machine_lacks() {
        for setting in ["scalar", "avx2", "AVX512", "neon", "", "sse9"] {
            assert!(Isa::from_setting(Some(setting)).is_available(), "{setting}");
        }
        assert_eq!(Isa::from_setting(Some("scalar")), Isa::Scalar);
        assert_eq!(Isa::from_setting(Some("sse9")), Isa::best());
        assert_eq!(Isa::from_setting(None), Isa::best());
    }

    #[test]
    fn an_unavailable_one_falls_to_a_lower_one() {
        for isa in Isa::ALL {
            let chosen = isa.or_lower();
            assert!(chosen.is_available());
            assert!(chosen == isa || !isa.is_available());
        }
    }
}
