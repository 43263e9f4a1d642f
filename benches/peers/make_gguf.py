"""make_gguf.py CHECKPOINT OUT.gguf: f16 GGUF of a random qwen2/llama HF checkpoint (1 file), dummy gpt2 vocab. For llama-bench only."""
import sys, json, numpy as np, gguf
src, out = sys.argv[1:3]
c = json.load(open(src + '/config.json')); arch = c['model_type']
w = gguf.GGUFWriter(out, arch)
hd = c.get('head_dim') or c['hidden_size'] // c['num_attention_heads']
w.add_name('random'); w.add_file_type(1); w.add_block_count(c['num_hidden_layers']); w.add_context_length(c['max_position_embeddings'])
w.add_embedding_length(c['hidden_size']); w.add_feed_forward_length(c['intermediate_size']); w.add_head_count(c['num_attention_heads'])
w.add_head_count_kv(c['num_key_value_heads']); w.add_rope_freq_base(c['rope_theta']); w.add_layer_norm_rms_eps(c['rms_norm_eps'])
w.add_vocab_size(c['vocab_size'])
if arch == 'llama': w.add_rope_dimension_count(hd)
n = c['vocab_size']
import os
if os.path.exists(src + '/tokenizer.json'):  # byte-level BPE with the GPT-2 split
    t = json.load(open(src + '/tokenizer.json')); m = t['model']; toks = [None] * n; types = [1] * n
    for s_, i in m['vocab'].items(): toks[i] = s_
    for a in t['added_tokens']: toks[a['id']] = a['content']; types[a['id']] = 3
    for i in range(n):
        if toks[i] is None: toks[i] = f'[PAD{i}]'; types[i] = 5
    w.add_tokenizer_model('gpt2'); w.add_tokenizer_pre('gpt-2'); w.add_token_list(toks); w.add_token_types(types)
    w.add_token_merges([x if isinstance(x, str) else ' '.join(x) for x in m['merges']])
    w.add_bos_token_id(c['bos_token_id']); w.add_eos_token_id(c['eos_token_id']); w.add_add_bos_token(True)
else:
    w.add_tokenizer_model('gpt2'); w.add_tokenizer_pre('qwen2')
    b = []  # gpt2 byte alphabet first, so byte lookups succeed
    bs = list(range(33,127)) + list(range(161,173)) + list(range(174,256)); k = 0
    for i in range(256):
        if i in bs: b.append(chr(i))
        else: b.append(chr(256 + k)); k += 1
    toks = (b + [f'<t{i}>' for i in range(256, n)])[:n]
    w.add_token_list(toks); w.add_token_types([1] * n); w.add_token_merges([b[32] + b[97]])
    w.add_eos_token_id(n - 1); w.add_bos_token_id(n - 1); w.add_add_bos_token(False)
f = open(src + '/model.safetensors', 'rb'); hl = int.from_bytes(f.read(8), 'little'); h = json.loads(f.read(hl)); h.pop('__metadata__', None)
M = {'input_layernorm':'attn_norm','self_attn.q_proj':'attn_q','self_attn.k_proj':'attn_k','self_attn.v_proj':'attn_v','self_attn.o_proj':'attn_output',
     'post_attention_layernorm':'ffn_norm','mlp.gate_proj':'ffn_gate','mlp.up_proj':'ffn_up','mlp.down_proj':'ffn_down'}
def name(s):
    if s == 'model.embed_tokens.weight': return 'token_embd.weight'
    if s == 'model.norm.weight': return 'output_norm.weight'
    if s == 'lm_head.weight': return 'output.weight'
    p = s.split('.'); return f"blk.{p[2]}.{M['.'.join(p[3:-1])]}.{p[-1]}"
def permute(x, heads):  # llama.cpp's llama wants interleaved rope rows
    return x.reshape(heads, 2, x.shape[0] // heads // 2, *x.shape[1:]).swapaxes(1, 2).reshape(x.shape)
for k, v in h.items():
    a, e = v['data_offsets']; f.seek(8 + hl + a); raw = f.read(e - a)
    x = {'BF16': lambda: (np.frombuffer(raw, np.uint16).astype(np.uint32) << 16).view(np.float32), 'F16': lambda: np.frombuffer(raw, np.float16),
         'F32': lambda: np.frombuffer(raw, np.float32)}[v['dtype']]().reshape(v['shape'])
    if arch == 'llama' and ('q_proj' in k or 'k_proj' in k): x = permute(x, c['num_attention_heads'] if 'q_proj' in k else c['num_key_value_heads'])
    w.add_tensor(name(k), x.astype(np.float16 if x.ndim == 2 else np.float32))
w.write_header_to_file(); w.write_kv_data_to_file(); w.write_tensors_to_file(); w.close()
