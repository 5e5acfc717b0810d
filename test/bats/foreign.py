#!/usr/bin/python3
"""Another program at the same locks: it declares what amqp-locks-python declares, and nothing that is amqprun's own.

usage: foreign.py COMMAND [ARGUMENT...]     the broker is that of AMQPRUN_URL

  mutex NAME          try once; print "got" or "lost"; hold until SIGTERM
  acquire NAME        the same for a slot; print "got N" or "lost"; then "gone" when the slot is not ours any more
  change NAME COUNT   add or remove slots
  destroy NAME        remove all slots
  slot NAME I         create slot I alone
  unslot NAME I       delete slot I alone
  count NAME          print how many slots there are, and how many of them are held
  has QUEUE           succeed if the queue exists
  work QUEUE          create a durable work queue
  line NAME COUNT     succeed when COUNT clients stand in the wait queue
  show QUEUE          print the numbers of messages and consumers
  remove QUEUE        delete a queue
  append QUEUE TEXT   publish a message
"""
import logging
import os
import signal
import sys
import time

import pika
from pika import exceptions

LIMIT = {"x-max-length": 0}
FORWARD = 100  # how far behind the last slot destroy looks

logging.disable(logging.CRITICAL)
stop = False


def on_term(*_):
    global stop
    stop = True


class Broker:
    def __init__(self):
        self.connection = pika.BlockingConnection(pika.URLParameters(os.environ["AMQPRUN_URL"]))
        self.renew()

    def renew(self):
        self.channel = self.connection.channel()
        self.channel.confirm_delivery()

    def has(self, queue):
        try:
            self.channel.basic_publish("", queue, b"", mandatory=True)
        except exceptions.UnroutableError:
            return False
        return True

    def claim(self, queue):
        """The exclusive declare, which grants the lock or closes the channel."""
        try:
            self.channel.queue_declare(queue, durable=False, exclusive=True, auto_delete=False, arguments=LIMIT)
        except exceptions.ChannelClosedByBroker as error:
            if error.reply_code != 405:
                raise
            self.renew()
            return False
        return True

    def add(self, name, i):
        self.channel.queue_declare(f"{name}-A-{i}", durable=False, exclusive=False, auto_delete=False, arguments=LIMIT)

    def count(self, name):
        i = 0
        while self.has(f"{name}-A-{i + 1}"):
            i += 1
        return i

    def acquire(self, name):
        i = 1
        while self.has(f"{name}-A-{i}"):
            if not self.has(f"{name}-B-{i}") and self.claim(f"{name}-B-{i}"):
                return i
            i += 1
        return 0

    def administer(self, name, change):
        if not self.claim(name):
            print("Adjustment failure")
            return 1
        change()
        self.channel.queue_delete(name)
        print("Adjustment success")
        return 0

    def hold(self, queue, still=None):
        while not stop:
            if still and not still():
                print("gone", flush=True)
                break
            self.connection.process_data_events(time_limit=0.05)
        self.channel.queue_delete(queue)
        return 0


def mutex(broker, name):
    got = broker.claim(name)
    print("got" if got else "lost", flush=True)
    return broker.hold(name) if got else 1


def acquire(broker, name):
    slot = broker.acquire(name)
    print(f"got {slot}" if slot else "lost", flush=True)
    return broker.hold(f"{name}-B-{slot}", lambda: broker.has(f"{name}-A-{slot}")) if slot else 1


def change(broker, name, count):
    def work():
        have = broker.count(name)
        for i in range(have + 1, have + int(count) + 1):
            broker.add(name, i)
        for i in range(have, max(have + int(count), 0), -1):
            broker.channel.queue_delete(f"{name}-A-{i}")

    return broker.administer(name, work)


def destroy(broker, name):
    def work():
        for i in range(broker.count(name) + FORWARD, 0, -1):
            broker.channel.queue_delete(f"{name}-A-{i}")

    return broker.administer(name, work)


def slot(broker, name, i):
    broker.add(name, i)


def unslot(broker, name, i):
    broker.channel.queue_delete(f"{name}-A-{i}")


def count(broker, name):
    slots = broker.count(name)
    print(slots, sum(broker.has(f"{name}-B-{i}") for i in range(1, slots + 1)))


def has(broker, queue):
    return 0 if broker.has(queue) else 1


def work(broker, queue):
    broker.channel.queue_declare(queue, durable=True)


def passive(broker, queue):
    return broker.channel.queue_declare(queue, passive=True).method


def line(broker, name, number):
    deadline, found = time.monotonic() + 20, None
    while time.monotonic() < deadline:
        try:
            found = passive(broker, f"{name}-W").consumer_count
        except exceptions.ChannelClosedByBroker:
            broker.renew()
            found = 0
        if found == int(number):
            return 0
        broker.connection.process_data_events(time_limit=0.02)
    print(f"{found} stand in the line of {name}, not {number}")
    return 1


def show(broker, queue):
    found = passive(broker, queue)
    print(found.message_count, found.consumer_count)


def remove(broker, queue):
    broker.channel.queue_delete(queue)


def append(broker, queue, text):
    broker.channel.basic_publish("", queue, text.encode(), mandatory=True)


def main():
    commands = (mutex, acquire, change, destroy, slot, unslot, count, has, work, line, show, remove, append)
    command = {f.__name__: f for f in commands}[sys.argv[1]]
    signal.signal(signal.SIGTERM, on_term)
    broker = Broker()
    status = command(broker, *sys.argv[2:]) or 0
    if broker.connection.is_open:
        broker.connection.close()
    return status


if __name__ == "__main__":
    sys.exit(main())
