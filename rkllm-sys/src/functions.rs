//! Tables of a library's functions, resolved once.

/// The function type under the `Option` that bindgen puts around a pointer to it.
pub trait Pointer {
    /// A pointer that is not null.
    type Function: Copy;
}

impl<F: Copy> Pointer for Option<F> {
    type Function = F;
}

/// Declares the table of an ABI: functions that must be there, and those that may be.
macro_rules! functions {
    ($(#[$doc:meta])* required { $($name:ident: $kind:ident,)* }
        optional { $($may:ident: $may_kind:ident,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        #[allow(non_snake_case, reason = "the vendor's names")]
        pub struct Functions {
            $(
                #[doc = concat!("See [`", stringify!($kind), "`].")]
                pub $name: <$kind as $crate::functions::Pointer>::Function,
            )*
            $(
                #[doc = concat!("See [`", stringify!($may_kind), "`]; not in every build.")]
                pub $may: $may_kind,
            )*
        }

        impl Functions {
            /// The names of the functions that must be there.
            pub const REQUIRED: &[&str] = &[$(stringify!($name)),*];
            /// The names of those that may be missing.
            pub const OPTIONAL: &[&str] = &[$(stringify!($may)),*];

            /// Looks all of them up; the missing one is named.
            ///
            /// # Safety
            /// `library` is one whose functions have the types declared in this module.
            pub(crate) unsafe fn resolve(
                library: &libloading::Library,
            ) -> Result<Self, &'static str> {
                Ok(Self {
                    $(
                        // SAFETY: the type is that of the ABI, as promised by the caller.
                        $name: *unsafe { library.get(concat!(stringify!($name), "\0")) }
                            .map_err(|_| stringify!($name))?,
                    )*
                    $(
                        // SAFETY: as above.
                        $may: unsafe { library.get(concat!(stringify!($may), "\0")) }
                            .ok()
                            .map(|function| *function),
                    )*
                })
            }
        }
    };
}

pub(crate) use functions;
