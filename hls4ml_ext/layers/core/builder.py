"""Builds the exact graph of a Keras model."""

from __future__ import annotations

from collections import Counter

from hls4ml.model.layers import layer_map

from hls4ml_ext.errors import ConversionError, PrecisionError
from hls4ml_ext.fixed import ACCUMULATOR_BITS, MANTISSA_BITS, FixedType, Range
from hls4ml_ext.layers.core.node import ExactInput, ExactLayer
from hls4ml_ext.names import Names

REPLACEMENTS = {
    'SeparableConv2D': 'Use QDepthwiseConv2D, QActivation and QConv2D of size 1',
    'QSeparableConv2D': 'Use QDepthwiseConv2D, QActivation and QConv2D of size 1',
    'QConv2DBatchnorm': 'Use QConv2D and BatchNormalization, and fold them with hls4ml_ext.fold_batchnorm',
    'QDepthwiseConv2DBatchnorm': 'Use QDepthwiseConv2D and BatchNormalization, and fold them with hls4ml_ext.fold_batchnorm',
    'LayerNormalization': 'Use hls4ml_ext.QLayerNormalization',
    'RMSNormalization': 'Use hls4ml_ext.QLayerNormalization',
    'MultiHeadAttention': 'Use hls4ml_ext.MultiHeadSelfAttention2D',
    'GroupedQueryAttention': 'Use hls4ml_ext.MultiHeadSelfAttention2D',
    'Attention': 'Use hls4ml_ext.MultiHeadSelfAttention2D',
    'Softmax': 'Leave it out: the model ends with logits, whose order softmax keeps (train with from_logits=True)',
    'LeakyReLU': "Use QActivation('quantized_relu(bits,integer)')",
    'PReLU': "Use QActivation('quantized_relu(bits,integer)')",
    'ELU': "Use QActivation('quantized_relu(bits,integer)')",
    'Rescaling': 'Scale the images before they go into the model',
}
"""What to use instead of a layer of Keras or QKeras that has no exact hardware, if it isn't the same name with a Q."""


class GraphBuilder:
    """Walks a Keras model in the order of its data and adds an exact node for each layer to an hls4ml graph.

    A *lowering* is a function ``lower(layer, inputs, graph) -> output`` which adds the nodes of one Keras layer: `inputs`
    are names of tensors in the graph, and so is the output. Lowerings are found by the class of the layer (or of its bases).

    Args:
        model: The hls4ml graph to fill; its nodes are replaced.
        lowerings: Full name of a Keras layer class -> lowering.
        prefix: Put before the name of each layer: 'ode1.' inside of an ODE block called ode1.
        names: The names of the graph that this one is inside of; None if it is the whole.
    """

    def __init__(self, model, lowerings: dict, prefix: str = '', names: Names | None = None):
        self.model = model
        self.lowerings = lowerings
        self.prefix = prefix
        config = model.config
        taken = (config.get_project_name(), config.get_writer_config().get('Namespace'))
        self.names = names or Names(*filter(None, taken))
        self._shared: set[str] = set()  # tensors of the graph that more than one Keras layer, or an output, uses

    # ------------------------------------------------------------------ walking Keras

    def build(self, keras_model, input_types: list[FixedType] | None = None):
        """Replaces the graph by the exact graph of `keras_model`.

        Args:
            keras_model: A built Keras model (functional or Sequential).
            input_types: The types of its inputs, if they aren't given by the model's own input quantizers.

        Raises:
            ConversionError: naming the first layer that has no exact hardware.
        """
        self.model.graph.clear()
        self.model.output_vars.clear()
        self.model.inputs, self.model.outputs = [], []
        functional = functional_of(keras_model)
        tensors = {}
        for i, tensor in enumerate(functional.inputs):
            name = self.prefix + tensor._keras_history.operation.name
            tensors[id(tensor)] = self._add_input(name, list(tensor.shape[1:]), input_types[i] if input_types else None)
        outputs = self._walk(functional, tensors)
        self.model.outputs = outputs
        if len(set(outputs)) != len(outputs):
            raise ConversionError(functional.name, 'two outputs of the model are the same tensor', 'Keep one of them')
        for tensor in outputs:
            self._finish_output(tensor)

    def _walk(self, functional, tensors: dict) -> list[str]:
        nodes = [n for depth in sorted(functional._nodes_by_depth, reverse=True) for n in functional._nodes_by_depth[depth]]
        calls = Counter(id(n.operation) for n in nodes if n.arguments.keras_tensors)
        uses = Counter(id(t) for n in nodes for t in n.arguments.keras_tensors)
        uses.update(id(t) for t in functional.outputs)
        # Layers without hardware (Dropout) and nested models pass a tensor on under its old name: once shared, always so.
        self._shared.update(name for t, name in tensors.items() if uses[t] > 1)
        for node in nodes:
            layer = node.operation
            self.names.layers.add(self.prefix + layer.name)
            if not node.arguments.keras_tensors:  # an input
                continue
            if calls[id(layer)] > 1:
                raise ConversionError(
                    self.prefix + layer.name,
                    f'it is called {calls[id(layer)]} times; hardware that is used again needs a loop',
                    'Put the repeated layers into the dynamics of an hls4ml_ext.ODEBlock, or give each call its own layer',
                )
            inputs = [tensors[id(t)] for t in node.arguments.keras_tensors]
            self._inputs = inputs
            output = self._lower(layer, inputs)
            if len(node.outputs) != 1:
                raise ConversionError(
                    self.prefix + layer.name, f'it has {len(node.outputs)} outputs', 'Use layers of one output'
                )
            tensors[id(node.outputs[0])] = output
            if uses[id(node.outputs[0])] > 1:
                self._shared.add(output)
            self._name_node(self._node_of(output), self.prefix + layer.name)
        return [tensors[id(t)] for t in functional.outputs]

    def _name_node(self, node, layer: str):
        """Notes that the output of a node is that of a Keras layer."""
        if not node.get_attr('computes'):
            node.set_attr('computes', layer)
        elif node.get_attr('output_of') == '':  # this layer has just rounded it
            node.set_attr('rounded_by', layer)
        node.set_attr('output_of', layer)

    def _lower(self, layer, inputs):
        import keras

        for cls in type(layer).__mro__:
            lower = self.lowerings.get(f'{cls.__module__}.{cls.__qualname__}')
            if lower is not None:
                if type(layer).call is not cls.call:  # for instance QConv2DBatchnorm, a subclass of QConv2D
                    break
                return lower(layer, inputs, self)
        if isinstance(layer, keras.Model):
            inner = GraphBuilder(self.model, self.lowerings, self.prefix + layer.name + '.', self.names)
            inner._shared = self._shared
            functional = functional_of(layer)
            outputs = inner._walk(functional, {id(t): name for t, name in zip(functional.inputs, inputs)})
            return outputs[0]
        kind, known = type(layer).__name__, sorted({c.rsplit('.', 1)[-1] for c in self.lowerings})
        stock = type(layer).__module__.split('.')[0] in ('keras', 'qkeras')
        remedy = stock and (REPLACEMENTS.get(kind) or (f'Use Q{kind}' if f'Q{kind}' in known else None))
        raise ConversionError(
            self.prefix + layer.name,
            f'there is no exact hardware for layers of class {kind}',
            remedy or f'Use one of {", ".join(known)}, or add the layer as docs/extend.md shows',
        )

    # ------------------------------------------------------------------ for lowerings

    def config_value(self, name: str, key: str, default):
        """A setting of ``hls_config``: of the layer `name`, else of the whole model.

        Returns:
            The value, and whether it was set for this very layer.
        """
        hls_config = self.model.config.config['HLSConfig']
        names = hls_config.get('LayerName') or {}
        by_name = names.get(name) or names.get(name.replace('.', '/')) or {}
        if by_name.get(key) is not None:
            return by_name[key], True
        value = (hls_config.get('Model') or {}).get(key)
        return (default if value is None else value), False

    def name(self, layer, part: str = '') -> str:
        """The name of a layer's node, or of a part of it: 'mhsa', 'mhsa.qkv'; with the prefix of an enclosing block."""
        return self.prefix + layer.name + (f'.{part}' if part else '')

    def shape(self, tensor: str) -> list[int]:
        return list(self.model.output_vars[tensor].shape)

    def type(self, tensor: str, layer: str) -> FixedType:
        """The fixed-point type of a tensor.

        Raises:
            ConversionError: if it is an input of the model that reaches `layer` without a quantizer.
        """
        ftype = self.maybe_type(tensor)
        if ftype is None:
            raise ConversionError(
                layer,
                f"the model's input '{self._called(tensor)}' reaches it without a quantizer",
                "Put a QActivation, such as 'quantized_bits(8,0,alpha=1)', behind the input",
            )
        return ftype

    def maybe_type(self, tensor: str) -> FixedType | None:
        """The fixed-point type of a tensor, or None if it has none yet."""
        precision = self.model.output_vars[tensor].type.precision
        return FixedType.from_hls4ml(precision) if getattr(precision, 'width', 0) else None

    def add(self, node_class, name: str, inputs: list[str], result: FixedType | Range, **attributes) -> str:
        """Adds a node.

        Args:
            node_class: A subclass of :class:`ExactLayer`.
            name: Its name, from :meth:`name`.
            inputs: Names of its input tensors.
            result: The type of its output, or the range of its exact output.
            attributes: The other attributes of the node.

        Returns:
            The name of its output tensor.
        """
        if isinstance(result, Range):
            result = result.type()
        attributes['trace'] = bool(self.config_value(name, 'Trace', False)[0])
        return self._make(node_class, name, 'layer', list(inputs), result_type=result, **attributes)

    def quantize(self, tensor: str, quantizer, name: str, fuse: bool = True) -> str:
        """Rounds a tensor as a QKeras quantizer does, in the kernel that computes it where that is possible.

        Args:
            tensor: Name of the tensor.
            quantizer: The quantizer object.
            name: Name of the layer that applies it.
            fuse: False if the unrounded tensor has other consumers.
        """
        from hls4ml_ext.quantizers import activation_type

        result = activation_type(quantizer, name)
        if self.maybe_type(tensor) is None:
            # The model's input: the caller of the hardware rounds, with the type of the input port.
            if not fuse:
                raise ConversionError(
                    name,
                    f"the model's input '{self._called(tensor)}' is also used without this quantizer",
                    'Let every branch start behind the input quantizer',
                )
            self._set_input_type(tensor, result)
            return tensor
        source = self.type(tensor, name)
        relu = type(quantizer).__name__ == 'quantized_relu'
        self.check_float(name, source.range | result.range, 'float32' if relu else None, 'the input of its quantizer')
        return self.round(tensor, result, name, fuse)

    def round(self, tensor: str, result: FixedType, name: str, fuse: bool = True) -> str:
        """Rounds a tensor to a type, in the kernel that computes it where that is possible; see :meth:`quantize`."""
        source = self.type(tensor, name)
        node = self._node_of(tensor)
        if fuse and isinstance(node, ExactLayer) and node.fuses_quantizer and not node.get_attr('rounded', False):
            node.set_result_type(result)
            node.set_attr('rounded', True)
            node.set_attr('output_of', '')  # the layer before the quantizer has no tensor of its own any more
            return tensor
        return self.add(
            layer_map['ExactQuantize'], name, [tensor], result,
            out_shape=self.shape(tensor), acc_width=source.range.signed_bits, rounded=True,
        )  # fmt: skip

    def only_consumer(self, layer) -> bool:
        """Is the layer that is being lowered the only consumer of its first input?"""
        return self._inputs[0] not in self._shared

    def check_float(self, layer: str, numbers: Range, dtype: str | None, what: str):
        """Refuses numbers that the Keras model's floats can't hold exactly, and sums that no accumulator holds.

        Args:
            layer: Name of the layer, for the message.
            numbers: The worst case.
            dtype: The floating-point type that Keras computes them in; None is the default, ``keras.config.floatx()``.
            what: What the numbers are, for the message.

        Raises:
            PrecisionError: naming the layer, the bits that its worst case needs and what to change.
        """
        import keras

        dtype = dtype or keras.config.floatx()
        capacity = MANTISSA_BITS.get(dtype, 24)
        if numbers.magnitude_bits > capacity:
            wider = (
                "compute in float64: keras.config.set_floatx('float64') before the model is built"
                if dtype == 'float32'
                else ''
            )
            raise PrecisionError(
                layer,
                f'{what} needs {numbers.magnitude_bits} bits in the worst case, but Keras computes it in {dtype}, '
                f'which holds integers of {capacity} bits exactly',
                'Use fewer bits for its weights or its input, or fewer inputs per sum' + (f', or {wider}' if wider else ''),
            )
        if numbers.signed_bits > ACCUMULATOR_BITS:
            raise PrecisionError(
                layer,
                f'{what} needs {numbers.signed_bits} bits in the worst case',
                f'The kernels have accumulators of at most {ACCUMULATOR_BITS} bits: use fewer bits',
            )

    # ------------------------------------------------------------------ inputs and outputs

    def _node_of(self, tensor: str):
        return self.model.graph[tensor]

    def _called(self, tensor: str) -> str:
        """What the user calls the layer that computes a tensor."""
        return self._node_of(tensor).layer_name

    def _make(self, node_class, name: str, kind: str, inputs: list[str], **attributes) -> str:
        """Makes a node. It, its output tensor and its place in the graph have one name, the label of `name`."""
        if not self.names.claim(name):
            raise ConversionError(name, 'two layers have this name', 'Rename one of them')
        label = self.names.label(name, kind)
        attributes.update(layer_name=name, identifier=self.names.identifier(name, kind))
        self.model.graph[label] = self.model.make_node(node_class, label, attributes, inputs, [label])
        return label

    def _add_input(self, name: str, shape: list, ftype: FixedType | None) -> str:
        if any(d is None for d in shape):
            raise ConversionError(name, f'its shape {tuple(shape)} is not fixed', 'Give the Input a full shape')
        # The class that hls4ml makes where it splits a graph.
        attributes = {'input_shape': shape, 'class_name': 'InputLayer', 'result_type': ftype}
        label = self._make(ExactInput, name, 'input', ['input'], **attributes)
        self.model.inputs = [*self.model.inputs, label]
        return label

    def _set_input_type(self, tensor: str, ftype: FixedType):
        self.model.output_vars[tensor].type.precision = ftype.to_hls4ml()

    def _finish_output(self, tensor: str):
        variable, name = self.model.output_vars[tensor], self._called(tensor)
        if not isinstance(self._node_of(tensor), ExactLayer):
            raise ConversionError(name, "the model's input is its output", 'Add a layer between them')
        if len(self.model.outputs) == 1 and not self.prefix:
            variable.type.name = 'result_t'
        self.check_float(name, FixedType.from_hls4ml(variable.type.precision).range, None, 'the output of the model')


def functional_of(keras_model):
    """The functional graph of a Keras model.

    Raises:
        ConversionError: for a subclassed model, or one that is not built.
    """
    import keras

    if isinstance(keras_model, keras.Sequential):
        if not keras_model.built:
            raise ConversionError(keras_model.name, 'the Sequential model is not built', 'Start it with keras.Input(shape)')
        keras_model = keras_model._functional
    if not hasattr(keras_model, '_nodes_by_depth'):
        raise ConversionError(
            keras_model.name,
            f'{type(keras_model).__name__} is a subclassed model, whose graph cannot be read',
            'Use the functional API or keras.Sequential',
        )
    return keras_model
