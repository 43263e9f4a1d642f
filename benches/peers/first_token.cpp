// llama.cpp from the start of the process to the first token: loads a model without its vocabulary, feeds 8
// token ids, takes the largest logit. With a third argument the logits are written there.
//
//   first_token MODEL.gguf THREADS [LOGITS.f32]

#include <cstdio>
#include <cstdlib>

#include "llama.h"

int main(int argc, char ** argv) {
    if (argc < 3) {
        std::fprintf(stderr, "usage: first_token MODEL.gguf THREADS [LOGITS.f32]\n");
        return 2;
    }
    const int threads = std::atoi(argv[2]);
    llama_log_set([](ggml_log_level, const char *, void *) {}, nullptr);
    llama_backend_init();

    llama_model_params model_params = llama_model_default_params();
    llama_model * model = llama_model_load_from_file(argv[1], model_params);
    if (!model) {
        std::fprintf(stderr, "first_token: cannot load %s\n", argv[1]);
        return 1;
    }
    llama_context_params params = llama_context_default_params();
    params.n_ctx = 64;
    params.n_batch = 8;
    params.n_ubatch = 8;
    params.n_threads = threads;
    params.n_threads_batch = threads;
    llama_context * context = llama_init_from_model(model, params);
    if (!context) {
        std::fprintf(stderr, "first_token: no context\n");
        return 1;
    }
    llama_token tokens[8];
    for (int i = 0; i < 8; i++) {
        tokens[i] = 100 + 37 * i;
    }
    if (llama_decode(context, llama_batch_get_one(tokens, 8)) != 0) {
        std::fprintf(stderr, "first_token: decoding failed\n");
        return 1;
    }
    const float * logits = llama_get_logits_ith(context, -1);
    const int vocab = llama_vocab_n_tokens(llama_model_get_vocab(model));
    int best = 0;
    for (int i = 1; i < vocab; i++) {
        if (logits[i] > logits[best]) {
            best = i;
        }
    }
    std::printf("%d\n", best);
    if (argc > 3) {
        FILE * file = std::fopen(argv[3], "wb");
        if (!file || std::fwrite(logits, sizeof(float), vocab, file) != (size_t) vocab || std::fclose(file) != 0) {
            std::fprintf(stderr, "first_token: cannot write %s\n", argv[3]);
            return 1;
        }
    }
    // Ends as a program that is done does; the system takes the memory back.
    std::fflush(stdout);
    std::_Exit(0);
}
