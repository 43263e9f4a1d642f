/* Asks one question and prints what happens: the smallest program for librkllmrt 1.3.0. */

#include <stdio.h>
#include <string.h>

#include "rkllm_1_3.h"

extern rkllm_createDefaultParam_fn rkllm_createDefaultParam;
extern rkllm_init_fn rkllm_init;
extern rkllm_run_fn rkllm_run;
extern rkllm_destroy_fn rkllm_destroy;

static int told(RKLLMResult *result, void *userdata, LLMCallState state) {
    (void)userdata;
    if (state == RKLLM_RUN_FINISH) {
        puts("\nFINISH");
    } else if (state == RKLLM_RUN_ERROR) {
        puts("\nERROR");
    } else {
        fputs(result->text, stdout);
    }
    fflush(stdout);
    return 0;
}

int main(int argc, char **argv) {
    RKLLMParam param = rkllm_createDefaultParam();
    RKLLMCallback callback = {.result_callback = told};
    RKLLMInferParam infer;
    RKLLMInput input;
    LLMHandle handle = NULL;
    (void)argc;
    param.model_path = argv[1];
    param.max_context_len = 256;
    param.max_new_tokens = 8;
    param.top_k = 1;
    int code = rkllm_init(&handle, &param, &callback);
    printf("init %d %s\n", code, handle ? "handle" : "null");
    fflush(stdout);
    if (code != 0 || handle == NULL) {
        return 3;
    }
    memset(&input, 0, sizeof input);
    memset(&infer, 0, sizeof infer);
    input.payload.prompt_input = "What is a diode?";
    code = rkllm_run(handle, &input, &infer, NULL);
    printf("run %d\n", code);
    return rkllm_destroy(handle);
}
