/*
 * librkllmrt 1.2.1, 1.2.2 and 1.2.3 (one binary interface).
 *
 * Written for this project from a description of the binary interface: names, offsets, sizes, values.
 * LP64 only. Every function is a type `NAME_fn`: nothing here is linked, all is looked up at run time.
 */
#ifndef RKLLM_SYS_RKLLM_1_2_H
#define RKLLM_SYS_RKLLM_1_2_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** A loaded model. */
typedef void *LLMHandle;

/** Bits of enabled_cpus_mask. */
#define CPU0 (1 << 0)
#define CPU1 (1 << 1)
#define CPU2 (1 << 2)
#define CPU3 (1 << 3)
#define CPU4 (1 << 4)
#define CPU5 (1 << 5)
#define CPU6 (1 << 6)
#define CPU7 (1 << 7)

/** What a result callback is told about the run. */
typedef enum {
    /** A token is in the result. */
    RKLLM_RUN_NORMAL = 0,
    /** The text so far ends inside a UTF-8 character. */
    RKLLM_RUN_WAITING = 1,
    /** The run is over; `perf` is filled. */
    RKLLM_RUN_FINISH = 2,
    /** The run failed. */
    RKLLM_RUN_ERROR = 3,
} LLMCallState;

/** Which member of the payload of an input is valid. */
typedef enum {
    /** Text; the chat template is applied. */
    RKLLM_INPUT_PROMPT = 0,
    /** Token ids. */
    RKLLM_INPUT_TOKEN = 1,
    /** Embeddings, float32. */
    RKLLM_INPUT_EMBED = 2,
    /** Text with markers and the embeddings for them. */
    RKLLM_INPUT_MULTIMODAL = 3,
} RKLLMInputType;

/** What a run is to produce. */
typedef enum {
    /** Tokens. */
    RKLLM_INFER_GENERATE = 0,
    /** Hidden states after the last layer. */
    RKLLM_INFER_GET_LAST_HIDDEN_LAYER = 1,
    /** Logits. */
    RKLLM_INFER_GET_LOGITS = 2,
} RKLLMInferMode;

/** Settings taken out of a reserve of fixed size. */
typedef struct {
    /** IOMMU domain in which the model starts, 0..15; a domain holds 4 GiB. */
    int32_t base_domain_id;
    /** 1: read the embedding table from storage on demand, 0: hold it in memory. */
    int8_t embed_flash;
    /** How many cores the runtime's own threads use. */
    int8_t enabled_cpus_num;
    /** Which cores: a sum of CPU0 ... CPU7. */
    uint32_t enabled_cpus_mask;
    /** Inputs per run. */
    uint8_t n_batch;
    /** 1: the model has cross attention. */
    int8_t use_cross_attn;
    /** Must be zero. */
    uint8_t reserved[104];
} RKLLMExtendParam;

/** How to load and sample; start from `rkllm_createDefaultParam`. */
typedef struct {
    /** File of the model. */
    const char *model_path;
    /** Positions of the KV cache; at most the model's own limit. */
    int32_t max_context_len;
    /** Limit of one run, in tokens. */
    int32_t max_new_tokens;
    /** Candidates kept; 1 is greedy. */
    int32_t top_k;
    /** Positions kept at the start when the window shifts. */
    int32_t n_keep;
    /** Probability mass kept. */
    float top_p;
    /** 0 picks the most likely token. */
    float temperature;
    /** 1 is none. */
    float repeat_penalty;
    /** -2 to 2, 0 is none. */
    float frequency_penalty;
    /** 0 is none. */
    float presence_penalty;
    /** 0 off, else version 1 or 2. */
    int32_t mirostat;
    /** Target surprise. */
    float mirostat_tau;
    /** Learning rate. */
    float mirostat_eta;
    /** Leave special tokens out of the text. */
    bool skip_special_token;
    /** Meaning not documented beyond its name. */
    bool is_async;
    /** Text before an image. */
    const char *img_start;
    /** Text after an image. */
    const char *img_end;
    /** Text that stands for an image's tokens. */
    const char *img_content;
    /** More settings. */
    RKLLMExtendParam extend_param;
} RKLLMParam;

/** A LoRA to load. */
typedef struct {
    /** Its file. */
    const char *lora_adapter_path;
    /** The name by which a run chooses it. */
    const char *lora_adapter_name;
    /** Strength; 1 is as trained. */
    float scale;
} RKLLMLoraAdapter;

/** Embeddings as input. */
typedef struct {
    /** n_tokens rows of the model's hidden size. */
    float *embed;
    /** Rows or ids. */
    size_t n_tokens;
} RKLLMEmbedInput;

/** Token ids as input. */
typedef struct {
    /** n_tokens ids. */
    int32_t *input_ids;
    /** Rows or ids. */
    size_t n_tokens;
} RKLLMTokenInput;

/** Text with image embeddings (1.2 layout). */
typedef struct {
    /** Text with a marker for each item. */
    char *prompt;
    /** n_image * n_image_tokens rows. */
    float *image_embed;
    /** Rows per image. */
    size_t n_image_tokens;
    /** Images, as many as the text has markers. */
    size_t n_image;
    /** Pixels. */
    size_t image_width;
    /** Pixels. */
    size_t image_height;
} RKLLMMultiModelInput;

/** The name since 1.2.3. */
typedef RKLLMMultiModelInput RKLLMMultiModalInput;

/** What is run. The vendor's header leaves this union unnamed. */
typedef union {
    /** For RKLLM_INPUT_PROMPT. */
    const char *prompt_input;
    /** For RKLLM_INPUT_EMBED. */
    RKLLMEmbedInput embed_input;
    /** For RKLLM_INPUT_TOKEN. */
    RKLLMTokenInput token_input;
    /** For RKLLM_INPUT_MULTIMODAL. */
    RKLLMMultiModelInput multimodal_input;
} RKLLMInputPayload;

/** One input of a run; with n_batch above 1 a run takes an array of them. */
typedef struct {
    /** "user" or "tool". */
    const char *role;
    /** Handed to templates that know it. */
    bool enable_thinking;
    /** Which member of `payload` is valid. */
    RKLLMInputType input_type;
    RKLLMInputPayload payload;
} RKLLMInput;

/** The LoRA of a run. */
typedef struct {
    /** The name by which a run chooses it. */
    const char *lora_adapter_name;
} RKLLMLoraParam;

/** Whether a run writes a prompt cache. */
typedef struct {
    /** 1: write it after the run. */
    int save_prompt_cache;
    /** File to write. */
    const char *prompt_cache_path;
} RKLLMPromptCacheParam;

/** Encoder state for models with cross attention. */
typedef struct {
    /** [layers][num_tokens][kv_heads][head_dim]. */
    float *encoder_k_cache;
    /** [layers][kv_heads][head_dim][num_tokens]. */
    float *encoder_v_cache;
    /** [num_tokens]. */
    float *encoder_mask;
    /** [num_tokens]. */
    int32_t *encoder_pos;
    /** Encoder positions. */
    int num_tokens;
} RKLLMCrossAttnParam;

/** How to run. */
typedef struct {
    /** What to produce. */
    RKLLMInferMode mode;
    /** NULL: no LoRA. */
    RKLLMLoraParam *lora_params;
    /** NULL: no cache is written. */
    RKLLMPromptCacheParam *prompt_cache_params;
    /** 1: keep the KV cache for the next turn. */
    int keep_history;
} RKLLMInferParam;

/** Hidden states; valid only inside the callback. */
typedef struct {
    /** [num_tokens][embd_size]. */
    const float *hidden_states;
    /** Hidden size. */
    int embd_size;
    /** Rows. */
    int num_tokens;
} RKLLMResultLastHiddenLayer;

/** Logits; valid only inside the callback. */
typedef struct {
    /** [num_tokens][vocab_size]. */
    const float *logits;
    /** Columns. */
    int vocab_size;
    /** Rows. */
    int num_tokens;
} RKLLMResultLogits;

/** Figures of a finished run. */
typedef struct {
    /** Milliseconds. */
    float prefill_time_ms;
    /** Tokens. */
    int prefill_tokens;
    /** Milliseconds. */
    float generate_time_ms;
    /** Tokens. */
    int generate_tokens;
    /** Peak resident memory. */
    float memory_usage_mb;
} RKLLMPerfStat;

/** What a result callback gets; pointers are valid only inside it. */
typedef struct {
    /** UTF-8; may be NULL. */
    const char *text;
    /** Negative: this input of the batch is finished. */
    int32_t token_id;
    /** With RKLLM_INFER_GET_LAST_HIDDEN_LAYER. */
    RKLLMResultLastHiddenLayer last_hidden_layer;
    /** With RKLLM_INFER_GET_LOGITS. */
    RKLLMResultLogits logits;
    /** With RKLLM_RUN_FINISH. */
    RKLLMPerfStat perf;
} RKLLMResult;

/** Called per token. Returns 0 to go on, 1 to pause, and from 1.3.0 on 2 to release the output
 * buffer. */
typedef int (*LLMResultCallback)(RKLLMResult *result, void *userdata, LLMCallState state);

/** The documented defaults; the struct is returned through a hidden pointer. */
typedef RKLLMParam rkllm_createDefaultParam_fn(void);

/** Loads a model. Returns 0, or not. */
typedef int rkllm_init_fn(LLMHandle *handle, RKLLMParam *param, LLMResultCallback callback);

/** Loads one LoRA; call before a run. */
typedef int rkllm_load_lora_fn(LLMHandle handle, RKLLMLoraAdapter *lora_adapter);

/** Loads a prompt cache; call before a run. */
typedef int rkllm_load_prompt_cache_fn(LLMHandle handle, const char *prompt_cache_path);

/** Drops the prompt cache. */
typedef int rkllm_release_prompt_cache_fn(LLMHandle handle);

/** Frees a model. */
typedef int rkllm_destroy_fn(LLMHandle handle);

/** Runs, blocking; every token goes to the result callback. */
typedef int rkllm_run_fn(LLMHandle handle, RKLLMInput *rkllm_input, RKLLMInferParam
    *rkllm_infer_params, void *userdata);

/** The same, returning at once; callbacks come from a thread of the library. */
typedef int rkllm_run_async_fn(LLMHandle handle, RKLLMInput *rkllm_input, RKLLMInferParam
    *rkllm_infer_params, void *userdata);

/** Stops a run; callable from another thread. */
typedef int rkllm_abort_fn(LLMHandle handle);

/** Documented as 0 while running up to 1.2.3 and as 1 while running in 1.3.0. */
typedef int rkllm_is_running_fn(LLMHandle handle);

/** Both positions NULL: everything (1 keeps the system prompt). Else [start, end) per input of the
 * batch. */
typedef int rkllm_clear_kv_cache_fn(LLMHandle handle, int keep_system_prompt, int *start_pos, int
    *end_pos);

/** Writes one count per input of the batch. */
typedef int rkllm_get_kv_cache_size_fn(LLMHandle handle, int *cache_sizes);

/** Replaces the model's template. */
typedef int rkllm_set_chat_template_fn(LLMHandle handle, const char *system_prompt, const char
    *prompt_prefix, const char *prompt_postfix);

/** Declares tools as a JSON array. */
typedef int rkllm_set_function_tools_fn(LLMHandle handle, const char *system_prompt, const char
    *tools, const char *tool_response_str);

/** Hands over encoder state. */
typedef int rkllm_set_cross_attn_params_fn(LLMHandle handle, RKLLMCrossAttnParam
    *cross_attn_params);

#endif /* RKLLM_SYS_RKLLM_1_2_H */
