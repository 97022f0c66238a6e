// The geometry that convolution and pooling share: windows that walk over planes of H × W. Twelve int32 words at `window`.
// One dimension is two with H = KH = 1.

// @ts-ignore: decorator
@inline
export function height(window: usize): i32 {
  return load<i32>(window)
}

// @ts-ignore: decorator
@inline
export function width(window: usize): i32 {
  return load<i32>(window, 4)
}

// @ts-ignore: decorator
@inline
export function kernelHeight(window: usize): i32 {
  return load<i32>(window, 8)
}

// @ts-ignore: decorator
@inline
export function kernelWidth(window: usize): i32 {
  return load<i32>(window, 12)
}

// @ts-ignore: decorator
@inline
export function strideHeight(window: usize): i32 {
  return load<i32>(window, 16)
}

// @ts-ignore: decorator
@inline
export function strideWidth(window: usize): i32 {
  return load<i32>(window, 20)
}

// @ts-ignore: decorator
@inline
export function padHeight(window: usize): i32 {
  return load<i32>(window, 24)
}

// @ts-ignore: decorator
@inline
export function padWidth(window: usize): i32 {
  return load<i32>(window, 28)
}

// @ts-ignore: decorator
@inline
export function dilationHeight(window: usize): i32 {
  return load<i32>(window, 32)
}

// @ts-ignore: decorator
@inline
export function dilationWidth(window: usize): i32 {
  return load<i32>(window, 36)
}

// @ts-ignore: decorator
@inline
export function outHeight(window: usize): i32 {
  return load<i32>(window, 40)
}

// @ts-ignore: decorator
@inline
export function outWidth(window: usize): i32 {
  return load<i32>(window, 44)
}
