// torch.nn.functional: the ops that layers are made of, as functions.
export { rotary_embedding } from '../ops/rope.ts'
export { scaled_dot_product_attention } from '../ops/attention.ts'
export { conv1d, conv2d } from '../ops/conv.ts'
export { embedding } from '../ops/embedding.ts'
export {
  binary_cross_entropy,
  binary_cross_entropy_with_logits,
  cross_entropy,
  huber_loss,
  kl_div,
  l1_loss,
  mse_loss,
  nll_loss,
  smooth_l1_loss,
} from '../ops/loss.ts'
export { one_hot } from '../ops/masks.ts'
export { linear } from '../ops/matmul.ts'
export { pad } from '../ops/movement.ts'
export { layer_norm, rms_norm } from '../ops/norm.ts'
export {
  adaptive_avg_pool1d,
  adaptive_avg_pool2d,
  avg_pool1d,
  avg_pool2d,
  max_pool1d,
  max_pool1d_with_indices,
  max_pool2d,
  max_pool2d_with_indices,
} from '../ops/pool.ts'
export { normalize } from '../ops/reduce.ts'
export { dropout } from '../ops/sampling.ts'
export { log_softmax, softmax, softmin } from '../ops/softmax.ts'
export {
  elu,
  gelu,
  hardsigmoid,
  hardswish,
  hardtanh,
  leaky_relu,
  logsigmoid,
  mish,
  relu,
  relu6,
  selu,
  sigmoid,
  silu,
  softplus,
  tanh,
} from '../ops/unary.ts'
