/* Ends as the demos for the board do on Ctrl-C: a handler destroys the handle and exits, in the thread whose run
   it interrupts. Then, with `fork`, as servers with worker processes do: a child uses and destroys the handle
   that its parent loaded. */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rkllm_1_3.h"

extern rkllm_createDefaultParam_fn rkllm_createDefaultParam;
extern rkllm_init_fn rkllm_init;
extern rkllm_run_fn rkllm_run;
extern rkllm_destroy_fn rkllm_destroy;

static LLMHandle handle;
static int alarmed;

static void on_signal(int number) {
    (void)number;
    exit(rkllm_destroy(handle) == 0 ? 7 : 8);
}

static int told(RKLLMResult *result, void *userdata, LLMCallState state) {
    (void)userdata;
    if (alarmed && state == RKLLM_RUN_NORMAL && result->text[0] != 0) {
        /* Between two callbacks, which are 300 ms apart. */
        struct itimerval soon = {{0, 0}, {0, 100000}};
        setitimer(ITIMER_REAL, &soon, NULL);
        alarmed = 0;
    }
    return 0;
}

static int ask(void) {
    RKLLMInferParam infer;
    RKLLMInput input;
    memset(&input, 0, sizeof input);
    memset(&infer, 0, sizeof infer);
    input.payload.prompt_input = "What is a diode?";
    return rkllm_run(handle, &input, &infer, NULL);
}

int main(int argc, char **argv) {
    RKLLMParam param = rkllm_createDefaultParam();
    RKLLMCallback callback = {.result_callback = told};
    int status = -1;
    pid_t child;
    param.model_path = argv[1];
    param.max_context_len = 256;
    param.max_new_tokens = 8;
    param.top_k = 1;
    if (rkllm_init(&handle, &param, &callback) != 0) {
        return 3;
    }
    if (argc > 2 && strcmp(argv[2], "fork") == 0) {
        if (ask() != 0) {
            return 4;
        }
        child = fork();
        if (child == 0) {
            alarm(60);
            _exit(ask() == 0 && rkllm_destroy(handle) == 0 && rkllm_destroy(handle) != 0 ? 0 : 5);
        }
        if (waitpid(child, &status, 0) != child || status != 0) {
            printf("the child's status is %d\n", status);
            return 6;
        }
        return ask() == 0 ? rkllm_destroy(handle) : 4;
    }
    signal(SIGALRM, on_signal);
    alarmed = 1;
    return ask() == 0 ? 9 : 10;
}
