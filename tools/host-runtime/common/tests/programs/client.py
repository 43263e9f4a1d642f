"""A client of librkllmrt 1.3.0 in ctypes, as the servers for the board are written: one handle in one thread,
then four handles in eight threads. Prints `done`; raises at the first surprise."""

import ctypes as c
import sys
import threading

lib = c.CDLL("librkllmrt.so")
model = sys.argv[1].encode()


class Extend(c.Structure):
    _fields_ = [("base_domain_id", c.c_int32), ("embed_flash", c.c_int8), ("cpus_num", c.c_int8),
                ("cpus_mask", c.c_uint32), ("n_batch", c.c_uint8), ("use_cross_attn", c.c_int8),
                ("reserved", c.c_uint8 * 104)]


class Param(c.Structure):
    # top_k as a float is a mistake that programs in use have; its bits are a large number.
    _fields_ = [("model_path", c.c_char_p), ("max_context_len", c.c_int32), ("max_new_tokens", c.c_int32),
                ("top_k", c.c_float), ("n_keep", c.c_int32), ("top_p", c.c_float),
                ("temperature", c.c_float), ("repeat_penalty", c.c_float),
                ("frequency_penalty", c.c_float), ("presence_penalty", c.c_float),
                ("mirostat", c.c_int32), ("mirostat_tau", c.c_float), ("mirostat_eta", c.c_float),
                ("skip_special_token", c.c_bool), ("ignore_eos_token", c.c_bool), ("is_async", c.c_bool),
                ("extend_param", Extend)]


class Embed(c.Structure):
    _fields_ = [("embed", c.POINTER(c.c_float)), ("n_tokens", c.c_size_t)]


class Tokens(c.Structure):
    _fields_ = [("ids", c.POINTER(c.c_int32)), ("n_tokens", c.c_size_t)]


class Payload(c.Union):
    _fields_ = [("prompt", c.c_char_p), ("embed", Embed), ("tokens", Tokens), ("size", c.c_uint8 * 144)]


class Input(c.Structure):
    _fields_ = [("role", c.c_char_p), ("enable_thinking", c.c_bool), ("input_type", c.c_int), ("payload", Payload)]


class Sampling(c.Structure):
    _fields_ = [("top_k", c.c_int32)] + [(n, c.c_float) for n in (
        "top_p", "temperature", "repeat_penalty", "frequency_penalty", "presence_penalty")] + [
        ("mirostat", c.c_int32), ("mirostat_tau", c.c_float), ("mirostat_eta", c.c_float)]


class Infer(c.Structure):
    _fields_ = [("mode", c.c_int), ("lora", c.c_void_p), ("cache", c.c_void_p),
                ("sampling", c.POINTER(Sampling)), ("keep_history", c.c_int), ("max_new_tokens", c.c_int32)]


class Hidden(c.Structure):
    _fields_ = [("values", c.POINTER(c.c_float)), ("width", c.c_int), ("rows", c.c_int)]


class Perf(c.Structure):
    _fields_ = [("prefill_ms", c.c_float), ("prefill_tokens", c.c_int), ("generate_ms", c.c_float),
                ("generate_tokens", c.c_int), ("memory_mb", c.c_float)]


class Result(c.Structure):
    _fields_ = [("text", c.c_char_p), ("token_id", c.c_int32), ("hidden", Hidden), ("logits", Hidden), ("perf", Perf)]


TOLD = c.CFUNCTYPE(c.c_int, c.POINTER(Result), c.c_void_p, c.c_int)


class Callback(c.Structure):
    _fields_ = [("told", TOLD), ("userdata", c.c_void_p), ("tokenizer", c.c_void_p),
                ("tokenizer_userdata", c.c_void_p), ("embed", c.c_void_p), ("embed_userdata", c.c_void_p)]


assert (c.sizeof(Param), c.sizeof(Input), c.sizeof(Infer), c.sizeof(Result)) == (184, 160, 40, 72)
lib.rkllm_createDefaultParam.restype = Param


class Model:
    def __init__(self):
        self.answers = {}
        self.told = TOLD(self.on_token)
        self.callback = Callback(told=self.told)
        self.handle = c.c_void_p()
        param = lib.rkllm_createDefaultParam()
        param.model_path, param.max_context_len, param.max_new_tokens = model, 256, 12
        param.top_k, param.skip_special_token = 7.0, True
        assert lib.rkllm_init(c.byref(self.handle), c.byref(param), c.byref(self.callback)) == 0

    def on_token(self, result, userdata, state):
        answer = self.answers[userdata]
        if state == 2:
            answer["finished"] += 1
            answer["perf"] = result.contents.perf.generate_tokens
        elif state == 3:
            answer["errors"] += 1
        else:
            answer["text"] += result.contents.text.decode("utf-8")
            answer["tokens"].append(result.contents.token_id)
        return 0

    def ask(self, text, number, greedy=True):
        answer = self.answers[number] = {"text": "", "tokens": [], "finished": 0, "errors": 0}
        one = Sampling(top_k=1, top_p=1.0, temperature=1.0, repeat_penalty=1.0)
        given = Input(role=b"user", input_type=0, payload=Payload(prompt=text.encode()))
        infer = Infer(sampling=c.pointer(one) if greedy else None)
        code = lib.rkllm_run(self.handle, c.byref(given), c.byref(infer), c.c_void_p(number))
        assert code == 0 and answer["finished"] == 1 and answer["errors"] == 0, (code, answer)
        return answer

    def close(self):
        assert lib.rkllm_destroy(self.handle) == 0
        assert lib.rkllm_destroy(self.handle) != 0


QUESTIONS = ["¿Qué es la ley de Ohm?", "What is a diode?", "Define torque.", "¿Qué es un transistor?"]
alone = Model()
expected = {q: alone.ask(q, 1)["tokens"] for q in QUESTIONS}
print(alone.ask(QUESTIONS[0], 1)["text"])
alone.ask(QUESTIONS[1], 2, greedy=False)
alone.close()

models = [Model() for _ in range(4)]
failures = []


def client(number):
    try:
        for turn in range(3):
            question = QUESTIONS[(number + turn) % 4]
            # Two threads share a handle: the runtime runs one after the other.
            answer = models[number % 4].ask(question, 1 + number)
            assert answer["tokens"] == expected[question], (number, turn)
    except BaseException as error:  # noqa: BLE001 - told to the main thread
        failures.append(error)


threads = [threading.Thread(target=client, args=(number,)) for number in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert not failures, failures
for one in models:
    one.close()
print("done")
