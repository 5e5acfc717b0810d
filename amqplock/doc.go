// Package amqplock holds mutexes and counting semaphores in RabbitMQ. It speaks the
// protocol of amqp-locks-python, so both can be used on one broker at the same time.
//
//	urls := []string{"amqp://user:password@host/"}
//	client, err := amqplock.New(amqplock.Broker{URLs: urls})
//	if err != nil { ... }
//	lock, err := client.Acquire(ctx, amqplock.Mutex("nightly"))
//	if err != nil { ... }
//	defer lock.Release(context.Background())
//	work(lock.Context()) // ends when the lock is lost
//
// Client.Do does the same in one call.
//
// # What is promised
//
// The broker grants a lock to one holder, and a semaphore to one holder a slot. The
// grant is the declaration of an exclusive queue, which the broker serialises. Before
// Acquire returns, two checks have confirmed the grant. The queue is owned by this
// connection. And a quorum queue has answered, so the node is with the majority of its
// cluster. Both checks go on, apart from each other, until Release. The second is made
// on another connection first, because the death of a queue's leader can end the
// connection that asks.
//
// Lock.Context ends when a check says that the lock is gone, and when the connection
// ends. It also ends when no proof has come for so long that the broker may soon give the
// lock to another. RabbitMQ frees the queues of a silent client 2 to 3 heartbeats (T)
// after its last byte. So the lease ends at 2T less a margin of T/10 after the newest
// proof of the check that is behind. Context ends the stop time before that. The clock
// is CLOCK_BOOTTIME: it goes on while the machine is suspended. (Where there is no such
// clock, on macOS for one, a suspend is noticed late.)
//
// The socket of the lock connection is not closed before Release, whatever happens. To
// close it would hand the lock on while the holder is still stopping its work. Nothing
// is ever published on that connection, because RabbitMQ stops reading from publishing
// connections while it is short of memory or disk. So a holder lives through such an
// alarm. A waiter for a semaphore waits until it is over.
//
// Waiters are served in the order in which they joined the wait queue. The broker keeps
// that order (a single active consumer). WithPriority comes before it: the highest is
// the first. A newcomer's first try may take a lock that is free at that instant, ahead
// of the queue. A waiter whose connection ends joins again, at the end.
//
// A lock never comes back by itself: once lost it stays lost.
//
// # What is not promised
//
// A loss is abrupt when the broker or an administrator closes the connection or deletes
// the queue, or when a node dies. Then another may hold the lock before this holder
// knows, and until its work has stopped. A check finds such a loss within the check
// interval. An ended connection is known at once.
//
// In some releases (3.10.8 and 4.0.5 do, 4.3.6 does not) a claim can delete the queue of
// another holder. That happens when the connection of the claim breaks before the answer,
// and the other was granted the lock in between
// (https://github.com/rabbitmq/rabbitmq-server/pull/15276).
// Acquire looks once more before it returns, and the lock does 0.02 s after its grant.
// A contender that gives up closes its connection in the protocol's way, which does not
// do that. A process that is killed cannot.
//
// A cluster with the Mnesia metadata store can grant an exclusive queue twice. That is
// 3.x, and 4.0 to 4.2 unless Khepri was enabled. It happens after a node failed or the
// network between nodes was interrupted, even for milliseconds
// (https://github.com/rabbitmq/rabbitmq-server/issues/9798,
// https://github.com/rabbitmq/rabbitmq-server/pull/17324). The checks find most of that,
// within a second or two of the grant or when the majority is lost; not all. With Khepri
// from 4.2 on a lock whose node crashed stays taken until the node returns or is removed
// from the cluster. docs/explanation/guarantees.md has the figures.
//
// WithFence gives a lock a fencing token that grows with each grant. A resource that
// checks the token is safe from an older holder. A token may be smaller only if the
// history was lost and the broker's clock went back (docs/explanation/history.md).
//
// # The queues of lock NAME
//
//	NAME            a held mutex; also the administration mutex of semaphore NAME
//	                exclusive, not durable, x-max-length 0
//	NAME-A-i        slot i = 1..C exists
//	                durable quorum queue, x-max-length 0; the original's transient
//	                classic queues are accepted
//	NAME-A-0        the semaphore exists, even with no slots (paused); not of the original
//	NAME-B-i        slot i is held
//	                exclusive, not durable, x-max-length 0
//	NAME-B-0        nobody adds slots: somebody holds All, or adds some; not of the
//	                original
//	                exclusive, not durable, x-max-length 0
//	NAME-B-100001   a drain says how many slots it will leave, in binary by those of
//	to 100018       NAME-B-100002 and up that exist; not of the original
//	                exclusive, not durable, x-max-length 0
//	NAME-W          the wait queue; not of the original
//	                durable classic queue, x-single-active-consumer, x-max-length 1,
//	                x-expires 10 min
//	NAME-H          the last will: what its holder's death puts back expires into the
//	                wait queue; not of the original
//	                durable classic queue, x-message-ttl 0, dead letters to NAME-W,
//	                x-expires 10 min
//	NAME-L          the history, with WithHistory; not of the original
//	                durable stream, x-max-length-bytes 8 MB,
//	                x-stream-max-segment-size-bytes 500 KB
//	NAME-D          somebody drains the semaphore: nobody of us takes what will be removed;
//	                not of the original
//	                exclusive, not durable, x-max-length 0
//	amqprun-witness proof of a majority for mutexes, one in each virtual host
//	                durable quorum queue, x-max-length 0
//
// Inspect and Evict ask participants over what is not of the original either:
//
//	amqprun.who     a durable direct exchange; participants bind their queue to it with
//	                the keys m/NAME or s/NAME, and all; with a priority also
//	                p/m/NAME or p/s/NAME
//	amqprun.evict   a durable direct exchange; with the key About.ID
//	amqprun.who.X   the queue of a participant, X being random
//	                exclusive, not durable, classic, x-max-length 8, x-message-ttl 5 s
//
// WithFence asks the broker for its time:
//
//	amqprun.clock.X a queue of one contender, X being random
//	                exclusive, not durable, classic, dead letters to itself
//	                before 4.3 durable, not exclusive, deleted with its consumer
//
// A quorum queue that was declared while its cluster had one node stays on that node.
// It is no witness for the cluster; rabbitmq-queues grow mends it.
//
// # Permissions
//
// A holder of a mutex needs configure on NAME and read on amqprun-witness, and configure
// on amqprun-witness where nobody has declared it yet. A holder of a semaphore needs
// configure on NAME-B-i, read on NAME-A-i, and write on amq.default. With All it needs
// configure on NAME-B-0. For slots of the original it needs amqprun-witness too. With
// configure and read on NAME-H, and write on amq.default, a crash is known to the next
// waiter at once.
//
// A waiter needs configure and read on NAME-W and write on amq.default to stand in the
// wait queue. Without them it still gets the lock, by trying again every few seconds.
//
// To be seen by Inspect, and to be evicted, a participant needs configure, read and
// write on amqprun.who.X. It needs read on amqprun.who and amqprun.evict, and write on
// amq.default. It needs configure on the two exchanges where nobody has declared them
// yet. Inspect needs write on amqprun.who, Evict on amqprun.evict.
//
// WithHistory needs configure and read on NAME-L, and write on amq.default. WithFence
// also needs configure and read on amqprun.clock.X.
//
// An administrator needs configure on NAME and NAME-A-i, and write on amq.default. To
// respect a holder of All it needs configure on NAME-B-0. To drain it needs that on
// NAME-D and NAME-B-i, and to destroy on NAME-W, NAME-H and NAME-L. To create a
// semaphore with WithSlots takes what Adjust takes.
package amqplock
