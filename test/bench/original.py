"""Runs a command under the mutex of amqp-locks-python: what its Mutex("NAME") sends, around a command.

usage: original.py NAME COMMAND [ARGUMENT...]
"""
import os
import subprocess
import sys

import pika

connection = pika.BlockingConnection(pika.URLParameters(os.environ["AMQPRUN_URL"]))
channel = connection.channel()
channel.confirm_delivery()
channel.queue_declare(queue=sys.argv[1], exclusive=True, arguments={"x-max-length": 0})
status = subprocess.call(sys.argv[2:])
channel.queue_delete(queue=sys.argv[1])
connection.close()
sys.exit(status)
