"""The operators that a bundle's graph may use: those of ONNX's default domain that compute tensors from tensors.

Deliberately excluded: ``Random*``, ``Bernoulli``, ``Multinomial`` and ``Dropout`` draw numbers that differ between
runtimes; strings, sequences, optionals, maps and image decoders are not needed by networks; detection
operators (``NonMaxSuppression``, ``RoiAlign``) and losses have no use here and only add attack surface;
``STFT`` with an empty window terminates the process, and the size of its window may be unknown in advance.
Operators of other domains are specific to one runtime: ``com.microsoft``, ``EPContext`` (a precompiled blob),
``PythonOp``.
"""

from __future__ import annotations

_GROUPS = {
    "arithmetic": "Abs Add Ceil Clip Div Floor Mod Mul Neg Pow Reciprocal Round Sign Sqrt Sub Sum Mean Max Min",
    "functions": "Acos Acosh Asin Asinh Atan Atanh Cos Cosh Erf Exp Log Sin Sinh Tan Tanh",
    "activations": "Celu Elu Gelu HardSigmoid HardSwish Hardmax LeakyRelu LogSoftmax Mish PRelu Relu Selu Shrink "
    "Sigmoid Softmax Softplus Softsign SwiGLU Swish ThresholdedRelu",
    "comparison and logic": "And Equal Greater GreaterOrEqual IsInf IsNaN Less LessOrEqual Not Or Where Xor",
    "bits": "BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor",
    "reduction": "ArgMax ArgMin CumProd CumSum ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean "
    "ReduceMin ReduceProd ReduceSum ReduceSumSquare TopK",
    "linear algebra": "Det Einsum Gemm MatMul",
    "convolution and pooling": "AveragePool Col2Im Conv ConvTranspose GlobalAveragePool GlobalLpPool GlobalMaxPool "
    "LpPool MaxPool",
    "normalization": "BatchNormalization GroupNormalization InstanceNormalization LRN LayerNormalization "
    "LpNormalization MeanVarianceNormalization RMSNormalization",
    "attention and recurrence": "Attention GRU LSTM RNN RotaryEmbedding",
    "shape": "Concat DepthToSpace Expand Flatten Identity Pad Reshape Shape Size Slice SpaceToDepth Split Squeeze Tile "
    "Transpose Unsqueeze",
    "indexing": "Compress Gather GatherElements GatherND NonZero OneHot ReverseSequence ScatterElements ScatterND "
    "TensorScatter Trilu",
    "constants": "Constant ConstantOfShape EyeLike Range",
    "images and signals": "AffineGrid CenterCropPad DFT GridSample Resize",
    "types and quantization": "Cast CastLike ConvInteger DequantizeLinear DynamicQuantizeLinear MatMulInteger "
    "QLinearConv QLinearMatMul QuantizeLinear",
    "control": "If Loop Scan",
}
#: purpose -> names
OPERATORS: dict[str, frozenset[str]] = {group: frozenset(names.split()) for group, names in _GROUPS.items()}
ALLOWED = frozenset().union(*OPERATORS.values())
#: operators whose attributes are graphs, and these attributes
SUBGRAPHS = {"If": {"then_branch", "else_branch"}, "Loop": {"body"}, "Scan": {"body"}}
#: operators whose output size is given by the value of an input, and that input. All others are bounded by their
#: inputs.
SIZED = {"ConstantOfShape": 0, "Expand": 1, "Tile": 1, "OneHot": 1, "Pad": 1, "Resize": 3, "CenterCropPad": 1}
#: attributes that may be negative: indices counted from the end, cropping, values of a constant. The others are counts
#: and switches, not all of which ONNX Runtime validates: a negative ``batch_dims`` of GatherND terminates the process.
SIGNED = frozenset({"axes", "axis", "end", "k", "pads", "scan_input_axes", "scan_output_axes", "start"})
#: attributes that may be any integer
FREE = frozenset({"value_int", "value_ints", "start", "end"})
#: attributes that enlarge an operator's output
SIZING = frozenset({"pads", "kernel_shape", "strides", "dilations", "output_padding", "output_shape", "blocksize"})
