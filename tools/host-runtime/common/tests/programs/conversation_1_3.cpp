// A program for librkllmrt 1.3.0, as programs for the board are written: linked against the library, with the
// structs of that release. Prints what the test compares; exits with the line of the first surprise.

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

extern "C" {
#include "rkllm_1_3.h"
rkllm_createDefaultParam_fn rkllm_createDefaultParam;
rkllm_init_fn rkllm_init;
rkllm_load_lora_fn rkllm_load_lora;
rkllm_load_prompt_cache_fn rkllm_load_prompt_cache;
rkllm_release_prompt_cache_fn rkllm_release_prompt_cache;
rkllm_destroy_fn rkllm_destroy;
rkllm_run_fn rkllm_run;
rkllm_run_async_fn rkllm_run_async;
rkllm_abort_fn rkllm_abort;
rkllm_is_running_fn rkllm_is_running;
rkllm_clear_kv_cache_fn rkllm_clear_kv_cache;
rkllm_get_kv_cache_size_fn rkllm_get_kv_cache_size;
rkllm_set_chat_template_fn rkllm_set_chat_template;
rkllm_set_function_tools_fn rkllm_set_function_tools;
rkllm_set_cross_attn_params_fn rkllm_set_cross_attn_params;
}

#define CHECK(what)                                                           \
    do {                                                                      \
        if (!(what)) {                                                        \
            std::fprintf(stderr, "line %d: %s\n", __LINE__, #what);           \
            std::exit(1);                                                     \
        }                                                                     \
    } while (0)

struct Answer {
    std::string text;
    std::vector<int32_t> tokens;
    int finishes = 0, errors = 0, rows = 0, width = 0;
    RKLLMPerfStat perf{};
    size_t pause_after = 0;
    std::vector<float> values;
};

static int told(RKLLMResult *result, void *userdata, LLMCallState state) {
    Answer &answer = *static_cast<Answer *>(userdata);
    switch (state) {
    case RKLLM_RUN_NORMAL:
    case RKLLM_RUN_WAITING:
        answer.text += result->text;
        if (result->logits.num_tokens > 0) {
            answer.rows = result->logits.num_tokens;
            answer.width = result->logits.vocab_size;
            answer.values.assign(result->logits.logits,
                                 result->logits.logits + (size_t)answer.rows * answer.width);
            return 1;
        }
        if (result->last_hidden_layer.num_tokens > 0) {
            answer.rows = result->last_hidden_layer.num_tokens;
            answer.width = result->last_hidden_layer.embd_size;
            return 2;
        }
        answer.tokens.push_back(result->token_id);
        return answer.pause_after != 0 && answer.tokens.size() >= answer.pause_after;
    case RKLLM_RUN_FINISH:
        answer.finishes++;
        answer.perf = result->perf;
        return 0;
    default:
        answer.errors++;
        return 0;
    }
}

static RKLLMInput prompt(const char *text, const char *role = "user") {
    RKLLMInput input;
    std::memset(&input, 0, sizeof input);
    input.role = role;
    input.input_type = RKLLM_INPUT_PROMPT;
    input.payload.prompt_input = text;
    return input;
}

static RKLLMInput tokens(std::vector<int32_t> &ids) {
    RKLLMInput input;
    std::memset(&input, 0, sizeof input);
    input.role = nullptr;
    input.input_type = RKLLM_INPUT_TOKEN;
    input.payload.token_input.input_ids = ids.data();
    input.payload.token_input.n_tokens = ids.size();
    return input;
}

static int positions(LLMHandle handle) {
    int size = -1;
    CHECK(rkllm_get_kv_cache_size(handle, &size) == 0);
    return size;
}

int main(int, char **argv) {
    // Default parameters.
    RKLLMParam param = rkllm_createDefaultParam();
    CHECK(param.top_k == 40 && param.n_keep == -1 && param.extend_param.n_batch == 1);
    CHECK(param.top_p > 0.89f && param.top_p < 0.91f && !param.ignore_eos_token);
    for (unsigned char byte : param.extend_param.reserved) CHECK(byte == 0);
    param.model_path = argv[1];
    param.max_context_len = 512;
    param.max_new_tokens = 24;
    param.skip_special_token = true;
    RKLLMCallback callback{};
    callback.result_callback = told;
    LLMHandle handle = nullptr;
    CHECK(rkllm_init(&handle, &param, &callback) == 0 && handle != nullptr);
    CHECK(rkllm_is_running(handle) == 0);

    RKLLMSamplingParam greedy{};
    greedy.top_k = 1;
    greedy.top_p = 1;
    greedy.repeat_penalty = 1;
    RKLLMInferParam infer;
    std::memset(&infer, 0, sizeof infer);
    infer.mode = RKLLM_INFER_GENERATE;
    infer.sampling_params = &greedy;

    // Two turns.
    infer.keep_history = 1;
    Answer first, second;
    RKLLMInput question = prompt("¿Qué es la ley de Ohm?\n");
    CHECK(rkllm_run(handle, &question, &infer, &first) == 0);
    CHECK(first.finishes == 1 && first.errors == 0 && !first.tokens.empty());
    CHECK(first.perf.prefill_tokens > 0 && first.perf.generate_tokens == (int)first.tokens.size());
    CHECK(first.perf.prefill_time_ms > 0 && first.perf.memory_usage_mb > 1);
    int after_one = positions(handle);
    question = prompt("What is a diode?");
    CHECK(rkllm_run(handle, &question, &infer, &second) == 0);
    CHECK(positions(handle) > after_one + (int)second.tokens.size());
    std::printf("first %s\nsecond %s\n", first.text.c_str(), second.text.c_str());

    // The system prompt (here: BOS and what begins the first turn) stays, or nothing does.
    CHECK(rkllm_clear_kv_cache(handle, 1, nullptr, nullptr) == 0);
    CHECK(positions(handle) > 0 && positions(handle) < after_one);
    CHECK(rkllm_clear_kv_cache(handle, 0, nullptr, nullptr) == 0 && positions(handle) == 0);
    Answer again;
    question = prompt("¿Qué es la ley de Ohm?\n");
    CHECK(rkllm_run(handle, &question, &infer, &again) == 0 && again.tokens == first.tokens);

    // Pause, look at the cache, resume: the same tokens as in one go.
    infer.keep_history = 0;
    Answer whole, paused, resumed;
    CHECK(rkllm_run(handle, &question, &infer, &whole) == 0);
    paused.pause_after = 5;
    CHECK(rkllm_run(handle, &question, &infer, &paused) == 0);
    CHECK(paused.finishes == 0 && paused.tokens.size() == 5);
    int size = positions(handle);
    question = prompt("");
    infer.max_new_tokens = (int)whole.tokens.size() - 5;
    CHECK(rkllm_run(handle, &question, &infer, &resumed) == 0 && resumed.finishes == 1);
    paused.tokens.insert(paused.tokens.end(), resumed.tokens.begin(), resumed.tokens.end());
    CHECK(paused.tokens == whole.tokens);
    infer.max_new_tokens = 0;

    // Ranges: only while paused; without its last three tokens the answer goes on the same way.
    int start = size - 3, end = size;
    CHECK(rkllm_clear_kv_cache(handle, 0, &start, &end) != 0);
    Answer cut, from_cut;
    cut.pause_after = 5;
    question = prompt("¿Qué es la ley de Ohm?\n");
    CHECK(rkllm_run(handle, &question, &infer, &cut) == 0 && positions(handle) == size);
    CHECK(rkllm_clear_kv_cache(handle, 0, &start, nullptr) != 0);
    CHECK(rkllm_clear_kv_cache(handle, 0, &start, &end) == 0 && positions(handle) == size - 3);
    question = prompt("");
    CHECK(rkllm_run(handle, &question, &infer, &from_cut) == 0);
    CHECK(from_cut.tokens[0] == whole.tokens[2] && from_cut.tokens[1] == whole.tokens[3]);

    // The prompt cache: saved after a run, loaded into another handle, and let go of.
    RKLLMPromptCacheParam cache{1, "prompt.bin"};
    infer.prompt_cache_params = &cache;
    Answer saved, loaded;
    question = prompt("¿Qué es la ley de Ohm?\n");
    CHECK(rkllm_run(handle, &question, &infer, &saved) == 0 && saved.tokens == whole.tokens);
    cache.prompt_cache_path = nullptr;
    CHECK(rkllm_run(handle, &question, &infer, &loaded) == 0);
    infer.prompt_cache_params = nullptr;
    LLMHandle other = nullptr;
    CHECK(rkllm_init(&other, &param, &callback) == 0 && other != handle);
    CHECK(rkllm_load_prompt_cache(other, "none.bin") != 0 && rkllm_load_prompt_cache(other, nullptr) != 0);
    CHECK(rkllm_load_prompt_cache(other, "prompt_cache.bin") == 0);
    Answer from_file;
    CHECK(rkllm_run(other, &question, &infer, &from_file) == 0 && from_file.tokens == whole.tokens);
    CHECK(from_file.perf.prefill_tokens == 1);
    CHECK(rkllm_release_prompt_cache(other) == 0 && rkllm_destroy(other) == 0);

    // Logits of token ids, without a role; then a token more, after a pause.
    infer.mode = RKLLM_INFER_GET_LOGITS;
    std::vector<int32_t> ids = {0, 5, 9, 11};
    Answer logits, more, at_once;
    RKLLMInput by_ids = tokens(ids);
    CHECK(rkllm_run(handle, &by_ids, &infer, &logits) == 0 && logits.rows == 4 && logits.width == 2048);
    CHECK(positions(handle) == 4);
    std::vector<int32_t> next = {17};
    by_ids = tokens(next);
    CHECK(rkllm_run(handle, &by_ids, &infer, &more) == 0 && more.rows == 1);
    CHECK(rkllm_clear_kv_cache(handle, 0, nullptr, nullptr) == 0);
    ids.push_back(17);
    by_ids = tokens(ids);
    CHECK(rkllm_run(handle, &by_ids, &infer, &at_once) == 0 && at_once.rows == 5);
    CHECK(std::memcmp(&at_once.values[4 * 2048], more.values.data(), 2048 * sizeof(float)) == 0);
    rkllm_clear_kv_cache(handle, 0, nullptr, nullptr);
    infer.mode = RKLLM_INFER_GET_LAST_HIDDEN_LAYER;
    Answer hidden;
    CHECK(rkllm_run(handle, &by_ids, &infer, &hidden) == 0 && hidden.rows == 5 && hidden.width == 256);
    CHECK(hidden.finishes == 1);
    infer.mode = RKLLM_INFER_GENERATE;

    // Tools, and their results.
    CHECK(rkllm_set_function_tools(handle, "sys", "no json", "tool_response") != 0);
    const char *tools = "[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{}}}]";
    CHECK(rkllm_set_function_tools(handle, "Use tools.", tools, "tool_response") == 0);
    infer.keep_history = 1;
    Answer call, result;
    question = prompt("2 + 2?");
    CHECK(rkllm_run(handle, &question, &infer, &call) == 0 && call.finishes == 1);
    question = prompt("[{\"result\": 4}]", "tool");
    CHECK(rkllm_run(handle, &question, &infer, &result) == 0 && result.finishes == 1);

    // A template of the caller's, with the system prompt in it.
    CHECK(rkllm_set_chat_template(handle, "<|endoftext|>", "<|im_start|>user\n",
                                  "<|im_end|>\n<|im_start|>assistant\n") == 0);
    infer.keep_history = 0;
    Answer framed;
    question = prompt("¿Qué es la ley de Ohm?\n");
    CHECK(rkllm_run(handle, &question, &infer, &framed) == 0 && framed.tokens == whole.tokens);

    // In the background, ended from here; a wild top_k; user data of the callbacks.
    callback.result_userdata = &framed;
    greedy.top_k = 1088421888;
    greedy.temperature = 0.8f;
    Answer background;
    CHECK(rkllm_run_async(handle, &question, &infer, &background) == 0);
    rkllm_abort(handle);
    while (rkllm_is_running(handle) == 1) {
    }
    CHECK(background.finishes == 1);
    CHECK(rkllm_abort(handle) != 0);

    // What is null or dead is refused.
    CHECK(rkllm_run(handle, nullptr, &infer, nullptr) != 0);
    CHECK(rkllm_run(handle, &question, nullptr, nullptr) != 0);
    CHECK(rkllm_get_kv_cache_size(handle, nullptr) != 0);
    CHECK(rkllm_set_cross_attn_params(handle, nullptr) != 0 && rkllm_load_lora(handle, nullptr) != 0);
    CHECK(rkllm_init(nullptr, &param, &callback) != 0 && rkllm_init(&other, nullptr, &callback) != 0);
    CHECK(rkllm_init(&other, &param, nullptr) != 0 && other == nullptr);
    CHECK(rkllm_destroy(handle) == 0);
    CHECK(rkllm_destroy(handle) != 0 && rkllm_destroy(nullptr) != 0);
    CHECK(rkllm_run(handle, &question, &infer, &framed) != 0 && rkllm_is_running(handle) < 0);
    CHECK(rkllm_set_chat_template(handle, "", "", "") != 0);
    std::puts("done");
}
