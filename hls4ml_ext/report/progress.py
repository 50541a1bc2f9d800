"""The phases of a training on the terminal."""

from __future__ import annotations

import contextlib

from hls4ml_ext.report.console import Reporter


class TrainingProgress:
    """Shows the phases of training, each as a step of the reporter."""

    def __init__(self, reporter: Reporter):
        self.reporter = reporter
        self.open = contextlib.ExitStack()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return self.open.__exit__(*error)

    def callbacks(self, log, steps: int) -> list:
        """For :class:`hls4ml_ext.train.training.Trainer`."""
        import keras

        self.open.close()
        done = len(log.history.get('loss', []))
        resumed = f', resumed after {done}' if done else ''
        step = self.open.enter_context(
            self.reporter.step(log.name, steps, f'{log.epochs} epochs{resumed}, tracing the model')
        )

        class Show(keras.callbacks.Callback):
            def on_train_batch_end(self, batch, logs=None):
                step.advance()

            def on_epoch_end(self, epoch, logs=None):
                held_out = f', validation {logs["val_accuracy"]:.1%}' if 'val_accuracy' in logs else ''
                step.show(
                    f'epoch {epoch + 1}/{log.epochs}: loss {logs["loss"]:.3f}, accuracy {logs["accuracy"]:.1%}{held_out}'
                )

            def on_train_end(self, logs=None):
                progress.open.close()

        progress = self
        return [Show()]
