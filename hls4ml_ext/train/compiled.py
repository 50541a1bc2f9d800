"""A training step as one graph, for the PyTorch backend.

Keras runs its layers one operation at a time on PyTorch, and ``torch.compile`` gives up on its Python code. Traced below
that code, at the level of PyTorch's own operations, the step becomes one graph of forward and backward pass, whose many
element-wise operations (normalization, quantizers) PyTorch's compiler then fuses: about 1.5 times as fast on a CPU.
"""

from __future__ import annotations

import contextlib

from hls4ml_ext.errors import ProjectError


def install(model, example):
    """Lets ``model.fit`` use a compiled step. Does nothing on another backend than PyTorch.

    Args:
        model: A compiled Keras model.
        example: A batch (images, labels). All batches must have its shape.

    Raises:
        ProjectError: if PyTorch can't compile it.
    """
    import keras

    if keras.backend.backend() == 'torch':
        keep_memory()
        model.train_function = _TrainStep(model, example)


def without_gradients():
    """A context in which PyTorch keeps nothing for gradients.

    A model that is called outside of ``fit`` and ``predict`` would keep all its activations until Python's garbage collector
    finds them.
    """
    import keras

    if keras.backend.backend() != 'torch':
        return contextlib.nullcontext()
    import torch

    return torch.no_grad()


def keep_memory():
    """Lets the C library keep the memory of freed tensors, as other frameworks' allocators do.

    Otherwise glibc gives every large tensor back to the kernel, and a third of the time goes into page faults. Does nothing
    with another C library.
    """
    import ctypes

    trim_threshold, top_pad, mmap_max = -1, -2, -4  # malloc.h
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(top_pad, 256 << 20)


class _TrainStep:
    """What Keras calls for every batch."""

    def __init__(self, model, example):
        import torch
        from torch.fx.experimental.proxy_tensor import make_fx

        self.model = model
        model._symbolic_build(data_batch=example)  # metrics
        x, y = (torch.as_tensor(part) for part in example)
        self.flat_size = (len(model.trainable_variables), len(model.non_trainable_variables))
        with torch.enable_grad():
            graph = make_fx(self._gradients)(*self._variables(), x, y)
        self.run = self._compiled(graph, x, y)

    def _compiled(self, graph, x, y):
        """The compiled graph; if need be without PyTorch's cache, in which a compiler that was killed leaves half a file."""
        import torch
        from torch._inductor.utils import fresh_inductor_cache

        problem = None
        for cache in (contextlib.nullcontext, fresh_inductor_cache):
            torch._dynamo.reset()
            run = torch.compile(graph, fullgraph=True, dynamic=False)
            try:
                with cache(), torch.no_grad():
                    run(*self._variables(), x, y)  # compiles
                return run
            except Exception as e:  # it calls C++ compilers and loads what they make: nearly anything
                problem = e
        reason = str(problem).splitlines()[0]
        raise ProjectError(f'PyTorch cannot compile the training step: {reason}. Use --backend tensorflow') from problem

    def _variables(self):
        return [v.value.detach() for v in (*self.model.trainable_variables, *self.model.non_trainable_variables)]

    def _gradients(self, *arguments):
        """(variables, images, labels) -> (loss, outputs, new non-trainable variables, gradients), nothing else."""
        import torch

        *variables, x, y = arguments
        trainable = [v.detach().requires_grad_() for v in variables[: self.flat_size[0]]]
        outputs, updated = self.model.stateless_call(trainable, variables[self.flat_size[0] :], x, training=True)
        loss = self.model.loss(y, outputs)
        gradients = torch.autograd.grad(loss, trainable, allow_unused=True, materialize_grads=True)
        return (loss.detach(), outputs.detach(), *(u.detach() for u in updated), *gradients)

    def __call__(self, data):
        import torch

        model = self.model
        x, y = (torch.as_tensor(part) for part in data[0])
        with torch.no_grad():
            loss, outputs, *rest = self.run(*self._variables(), x, y)
            updated, gradients = rest[: self.flat_size[1]], rest[self.flat_size[1] :]
            for variable, value in zip(model.non_trainable_variables, updated):
                variable.value.data.copy_(value)
            model.optimizer.apply(list(gradients), model.trainable_variables)
            model._loss_tracker.update_state(loss, sample_weight=x.shape[0])
            return model.compute_metrics(x, y, outputs)
