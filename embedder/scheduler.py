"""Runs many photos' steps on a fixed number of threads, and what they ask of one stage together.

It never waits for a batch to fill: it takes what is there.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, InvalidStateError
from typing import Any, Final

from embedder import metrics
from embedder.board import Batch, Begin, Board, Item, Photo, Resume, StageRunner, Task
from embedder.caller import Caller
from embedder.steps import Ask, Handler, Stage, Steps
from runtime.errors import NotReady, Overloaded, TwinError, forget_frames

_STOPPED: Final = "the workers have stopped"


class Scheduler:
    """Worker threads that never leave a caller waiting: when one dies, everything fails at once.

    An Exception belongs to the photo that raised it. Anything else that leaves a step ends all workers: what state it
    left behind nobody knows, so nothing more runs in this process.
    """

    def __init__(
        self,
        stages: Mapping[Stage, StageRunner],
        *,
        thread_count: int,
        queue_limit: int,
        max_begun: int,
        on_death: Callable[[BaseException], None],
    ) -> None:
        """Starts the threads.

        queue_limit: refusable photos that may wait to be begun; max_begun: photos that are in memory. on_death is
        called once, from the thread that died.
        """
        self._stages = stages
        self._on_death = on_death
        self._board = Board(stages, queue_limit=queue_limit, max_begun=max_begun)
        self._changed = threading.Condition()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"embed-{number}", daemon=True) for number in range(thread_count)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, steps: Steps[Any], caller: Caller, *, refusable: bool) -> Photo:
        """Lets a photo wait for its turn; its future holds the answer.

        Raises Overloaded when it is refusable and the queue is full, and NotReady once the workers have stopped.
        """
        photo = Photo(steps, caller, refusable)
        with self._changed:
            if self._closed:
                raise NotReady(_STOPPED)
            displaced = self._board.admit(photo)
            self._note_waiting()
            wait_s = self._board.expected_wait_s()
            self._changed.notify()
        if displaced is not None:
            _fail(displaced.future, Overloaded(retry_delay_s=wait_s))
        return photo

    def withdraw(self, photo: Photo) -> None:
        """Gives up a photo that nobody waits for; one that was begun stops before its next stage."""
        photo.caller.leave()
        with self._changed:
            if self._board.withdraw(photo):
                self._note_waiting()

    def close(self, timeout_s: float) -> None:
        """Fails what waits, lets what runs end, and waits for the threads, each at most timeout_s."""
        self._stop()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(timeout_s)

    def _work(self) -> None:
        try:
            while (task := self._next_task()) is not None:
                self._do(task)
                # A finished photo must not stay in memory until the next one comes.
                del task
        except BaseException as death:
            self._stop()
            self._on_death(death)

    def _next_task(self) -> Task | None:
        with self._changed:
            while not self._closed:
                task = self._board.take()
                if task is not None:
                    if isinstance(task, Begin):
                        metrics.QUEUE_SECONDS.observe(task.photo.begun_s - task.photo.admitted_s)
                        self._note_waiting()
                    return task
                self._changed.wait()
        return None

    def _do(self, task: Task) -> None:
        match task:
            case Begin(photo):
                self._advance(photo, None)
            case Resume(photo):
                self._advance(photo, photo.answers)
            case Batch():
                self._run(task)

    def _advance(self, photo: Photo, answers: list[Any] | None) -> None:
        """Lets a photo take its next step: with the answer that it asked for, or the error that came instead."""
        started = time.perf_counter()
        error = photo.error
        # Neither may outlive the step: they hold pixels.
        photo.answers, photo.error = [], None
        try:
            if error is None:
                photo.caller.check()
        except Exception as gone:
            error = gone
        try:
            # A generator that is sent None for the first time begins.
            ask: Ask = photo.steps.throw(error) if error is not None else photo.steps.send(answers)  # type: ignore[arg-type]
        except StopIteration as end:
            result = end.value
            self._end(photo, started)
            _settle(photo.future, lambda: photo.future.set_result(result))
        except Exception as failure:
            self._end(photo, started)
            if isinstance(failure, TwinError):
                # Not a bug, whose frames are logged: these only keep the photo's pixels.
                forget_frames(failure)
            _fail(photo.future, failure)
        else:
            with self._changed:
                self._board.charge(photo, time.perf_counter() - started)
                self._board.put(photo, ask)
                self._changed.notify_all()

    def _run(self, batch: Batch) -> None:
        """Does what a stage is asked, but for photos whose callers have gone or that failed already."""
        for item in batch.items:
            try:
                item.photo.caller.check()
            except Exception as gone:
                item.photo.error = item.photo.error or gone
        wanted = [item for item in batch.items if item.photo.error is None]
        started = time.perf_counter()
        results = self._results(batch.stage, wanted)
        seconds = time.perf_counter() - started
        if wanted:
            metrics.STAGE_SECONDS.labels(batch.stage.name.lower()).observe(seconds)
            metrics.BATCH_SIZE.labels(batch.stage.name.lower()).observe(len(wanted))
        with self._changed:
            self._board.finish_batch(batch, seconds, len(wanted))
            for item, result in zip(wanted, results, strict=True):
                item.photo.answers[item.place] = result
            for item in batch.items:
                item.photo.missing -= 1
                if item.photo.missing == 0:
                    self._board.put_ready(item.photo)
            self._changed.notify_all()

    def _results(self, stage: Stage, items: list[Item]) -> list[Any]:
        """Returns a result for each item; None for one that failed, whose photo then has the error."""
        if not items:
            return []
        try:
            return self._handler(stage)([item.value for item in items])
        except Exception as error:
            if len(items) > 1:
                # One of them is to blame, and the others' callers are not to hear of it.
                return [result for item in items for result in self._results(stage, [item])]
            items[0].photo.error = items[0].photo.error or error
            return [None]

    def _handler(self, stage: Stage) -> Handler:
        runner = self._stages[stage]
        if runner.when_alone is None:
            return runner.handler
        with self._changed:
            return runner.when_alone if self._board.is_alone else runner.handler

    def _end(self, photo: Photo, started: float) -> None:
        with self._changed:
            self._board.charge(photo, time.perf_counter() - started)
            self._board.end(photo)
            self._changed.notify_all()

    def _stop(self) -> None:
        with self._changed:
            if self._closed:
                return
            self._closed = True
            photos = self._board.clear()
            self._note_waiting()
            self._changed.notify_all()
        for photo in photos:
            _fail(photo.future, NotReady(_STOPPED))

    def _note_waiting(self) -> None:
        metrics.QUEUE_LENGTH.set(self._board.waiting)


def _fail(future: Future[Any], error: Exception) -> None:
    _settle(future, lambda: future.set_exception(error))


def _settle(future: Future[Any], settle: Callable[[], None]) -> None:
    with contextlib.suppress(InvalidStateError):  # Somebody gave up on it, or the workers stopped, in this moment.
        settle()
