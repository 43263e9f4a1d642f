/* A program for librkllmrt 1.2, as programs for the board are written: a bare callback, sampling at init.
 * Prints what the test compares; exits with the line of the first surprise. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rkllm_1_2.h"

extern rkllm_createDefaultParam_fn rkllm_createDefaultParam;
extern rkllm_init_fn rkllm_init;
extern rkllm_load_prompt_cache_fn rkllm_load_prompt_cache;
extern rkllm_release_prompt_cache_fn rkllm_release_prompt_cache;
extern rkllm_destroy_fn rkllm_destroy;
extern rkllm_run_fn rkllm_run;
extern rkllm_run_async_fn rkllm_run_async;
extern rkllm_abort_fn rkllm_abort;
extern rkllm_is_running_fn rkllm_is_running;
extern rkllm_clear_kv_cache_fn rkllm_clear_kv_cache;
extern rkllm_get_kv_cache_size_fn rkllm_get_kv_cache_size;
extern rkllm_set_chat_template_fn rkllm_set_chat_template;
extern rkllm_set_function_tools_fn rkllm_set_function_tools;

#define CHECK(what)                                                           \
    do {                                                                      \
        if (!(what)) {                                                        \
            fprintf(stderr, "line %d: %s\n", __LINE__, #what);                \
            exit(1);                                                          \
        }                                                                     \
    } while (0)

struct answer {
    char text[4096];
    int tokens[512];
    int count, finishes, errors, pause_after, rows, width, prefilled;
};

static int told(RKLLMResult *result, void *userdata, LLMCallState state) {
    struct answer *answer = userdata;
    if (state == RKLLM_RUN_FINISH) {
        answer->finishes++;
        answer->prefilled = result->perf.prefill_tokens;
    } else if (state == RKLLM_RUN_ERROR) {
        answer->errors++;
    } else if (result->logits.num_tokens > 0) {
        answer->rows = result->logits.num_tokens;
        answer->width = result->logits.vocab_size;
    } else {
        strncat(answer->text, result->text, sizeof answer->text - strlen(answer->text) - 1);
        answer->tokens[answer->count++] = result->token_id;
        return answer->pause_after && answer->count >= answer->pause_after;
    }
    return 0;
}

static struct answer run(LLMHandle handle, RKLLMInferParam *infer, const char *text, int pause_after) {
    struct answer answer = {.pause_after = pause_after};
    RKLLMInput input;
    memset(&input, 0, sizeof input);
    input.role = "user";
    input.input_type = RKLLM_INPUT_PROMPT;
    input.payload.prompt_input = text;
    CHECK(rkllm_run(handle, &input, infer, &answer) == 0);
    CHECK(answer.errors == 0 && answer.finishes == (pause_after == 0));
    return answer;
}

static int positions(LLMHandle handle) {
    int size = -1;
    CHECK(rkllm_get_kv_cache_size(handle, &size) == 0);
    return size;
}

int main(int argc, char **argv) {
    const char *ohm = "¿Qué es la ley de Ohm?\n";
    RKLLMParam param = rkllm_createDefaultParam();
    (void)argc;
    CHECK(param.extend_param.enabled_cpus_num == 4 && param.img_start != NULL);
    param.model_path = argv[1];
    param.max_context_len = 512;
    param.max_new_tokens = 24;
    param.skip_special_token = 1;
    param.top_k = 1;
    param.repeat_penalty = 1;
    LLMHandle handle = NULL;
    CHECK(rkllm_init(&handle, &param, told) == 0 && handle != NULL);
    /* 1.2 documents 0 while running. */
    CHECK(rkllm_is_running(handle) == 1);

    RKLLMInferParam infer;
    memset(&infer, 0, sizeof infer);
    infer.keep_history = 1;
    struct answer first = run(handle, &infer, ohm, 0), second = run(handle, &infer, "What is a diode?", 0);
    printf("first %s\nsecond %s\n", first.text, second.text);

    infer.keep_history = 0;
    struct answer paused = run(handle, &infer, ohm, 5);
    int size = positions(handle), start = size - 3, end = size;
    CHECK(rkllm_clear_kv_cache(handle, 0, &start, &end) == 0 && positions(handle) == size - 3);
    struct answer resumed = run(handle, &infer, "", 0);
    CHECK(paused.count == 5 && resumed.tokens[0] == first.tokens[2]);
    CHECK(rkllm_clear_kv_cache(handle, 0, &start, &end) != 0);
    CHECK(rkllm_clear_kv_cache(handle, 0, NULL, NULL) == 0 && positions(handle) == 0);

    RKLLMPromptCacheParam cache = {1, NULL};
    infer.prompt_cache_params = &cache;
    run(handle, &infer, ohm, 0);
    infer.prompt_cache_params = NULL;
    CHECK(rkllm_clear_kv_cache(handle, 0, NULL, NULL) == 0);
    CHECK(rkllm_load_prompt_cache(handle, "./prompt_cache.bin") == 0);
    struct answer cached = run(handle, &infer, ohm, 0);
    CHECK(cached.prefilled == 1 && memcmp(cached.tokens, first.tokens, sizeof first.tokens) == 0);
    CHECK(rkllm_release_prompt_cache(handle) == 0);

    int32_t ids[] = {0, 5, 9};
    struct answer logits = {0};
    RKLLMInput input;
    memset(&input, 0, sizeof input);
    input.input_type = RKLLM_INPUT_TOKEN;
    input.payload.token_input.input_ids = ids;
    input.payload.token_input.n_tokens = 3;
    infer.mode = RKLLM_INFER_GET_LOGITS;
    CHECK(rkllm_run(handle, &input, &infer, &logits) == 0 && logits.rows == 3 && logits.width == 2048);
    infer.mode = RKLLM_INFER_GENERATE;

    CHECK(rkllm_set_function_tools(handle, "Use tools.", "[]", "tool_response") == 0);
    CHECK(rkllm_set_chat_template(handle, NULL, "<|im_start|>user\n", NULL) == 0);
    struct answer framed = run(handle, &infer, "hola", 0);
    CHECK(framed.count > 0);

    struct answer background = {0};
    input.payload.token_input.n_tokens = 2;
    CHECK(rkllm_run_async(handle, &input, &infer, &background) == 0);
    while (rkllm_is_running(handle) == 0) {
        rkllm_abort(handle);
    }
    CHECK(background.finishes == 1);
    CHECK(rkllm_destroy(handle) == 0 && rkllm_destroy(handle) != 0);
    CHECK(rkllm_init(&handle, &param, NULL) != 0 && handle == NULL);
    puts("done");
    return 0;
}
