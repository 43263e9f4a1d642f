//! Fields that both ABIs name alike, wherever their structs have them.

/// A field of a struct of C's, wherever it lies.
#[macro_export]
macro_rules! get {
    ($struct:expr, $($field:tt)+) => {
        (&raw const (*$struct).$($field)+).read_unaligned()
    };
}

/// A C `bool`, which may hold any byte.
#[macro_export]
macro_rules! flag {
    ($struct:expr, $($field:tt)+) => {
        (&raw const (*$struct).$($field)+).cast::<u8>().read_unaligned() != 0
    };
}

/// Both ABIs' parameters of a load, but for what only one has. The first two fields are checked by the face.
#[macro_export]
macro_rules! read_params {
    ($param:ident, path: $path:expr, ignore_eos: $ignore:expr, tags: $tags:expr) => {
        InitParams {
            model_path: $path,
            max_context_len: get!($param, max_context_len),
            max_new_tokens: get!($param, max_new_tokens),
            n_keep: get!($param, n_keep),
            sampling: read_sampling!($param),
            skip_special_token: flag!($param, skip_special_token),
            ignore_eos_token: $ignore,
            is_async: flag!($param, is_async),
            tags: $tags,
            base_domain_id: get!($param, extend_param.base_domain_id),
            embed_flash: get!($param, extend_param.embed_flash),
            enabled_cpus_num: get!($param, extend_param.enabled_cpus_num),
            enabled_cpus_mask: get!($param, extend_param.enabled_cpus_mask),
            n_batch: get!($param, extend_param.n_batch),
            use_cross_attn: get!($param, extend_param.use_cross_attn),
        }
    };
}

/// The sampling fields, which parameters of loads and runs name alike.
#[macro_export]
macro_rules! read_sampling {
    ($from:ident) => {
        SamplingParams {
            top_k: get!($from, top_k),
            top_p: get!($from, top_p),
            temperature: get!($from, temperature),
            repeat_penalty: get!($from, repeat_penalty),
            frequency_penalty: get!($from, frequency_penalty),
            presence_penalty: get!($from, presence_penalty),
            mirostat: get!($from, mirostat),
            mirostat_tau: get!($from, mirostat_tau),
            mirostat_eta: get!($from, mirostat_eta),
        }
    };
}

/// Writes the defaults that both ABIs have into a struct whose bytes are zero.
#[macro_export]
macro_rules! write_defaults {
    ($param:ident) => {{
        let d = InitParams::default();
        $param.max_context_len = d.max_context_len;
        $param.max_new_tokens = d.max_new_tokens;
        $param.n_keep = d.n_keep;
        $param.top_k = d.sampling.top_k;
        $param.top_p = d.sampling.top_p;
        $param.temperature = d.sampling.temperature;
        $param.repeat_penalty = d.sampling.repeat_penalty;
        $param.frequency_penalty = d.sampling.frequency_penalty;
        $param.presence_penalty = d.sampling.presence_penalty;
        $param.mirostat = d.sampling.mirostat;
        $param.mirostat_tau = d.sampling.mirostat_tau;
        $param.mirostat_eta = d.sampling.mirostat_eta;
        $param.extend_param.base_domain_id = d.base_domain_id;
        $param.extend_param.embed_flash = d.embed_flash;
        $param.extend_param.enabled_cpus_num = d.enabled_cpus_num;
        $param.extend_param.enabled_cpus_mask = d.enabled_cpus_mask;
        $param.extend_param.n_batch = d.n_batch;
    }};
}
