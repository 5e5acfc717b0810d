# Completion of amqprun for fish.

set -l subcommands change destroy status check evict history hold doctor
complete -c amqprun -f

# The names of locks that somebody holds or waits for, where a broker is configured.
function __amqprun_locks # mutex|semaphore
    test -n "$AMQPRUN_URL$AMQPRUN_URL_FILE$AMQP_URL"; or return
    amqprun status --json -q --connect-timeout 1 2>/dev/null </dev/null |
        string match -rag '"kind":"'$argv[1]'","name":"([^"\\\\]*)'
end

# The words of the command line that begin with the command to run; fails while there are none. The word under the cursor counts.
function __amqprun_command
    set -l tokens (commandline -opc) (commandline -ct)
    set -e tokens[1]
    if contains -- "$tokens[1]" change destroy status check evict history hold release doctor
        return 1
    end
    argparse -s h/help v/verbose q/quiet n/nonblock greedy elastic history fence show-command hide-command version \
        'mutex=' 'semaphore=' 'w/wait=' 'timeout=' 'E/conflict-exit-code=' 'create=' 'slots=' 'count=' 'priority=' 'c/command=' 's/signal=' 'k/kill-after=' \
        'on-loss=' 'regain=' 'orphans=' 'metadata=+' 'once=' 'report=' 'check-interval=' 'progress=' 'url=+' 'url-file=' 'password-file=' 'cacert=' 'cert=' 'key=' \
        'connect-timeout=' 'heartbeat=' 'log-format=' -- $tokens 2>/dev/null
    or return
    if test (count $argv) -eq 0; or string match -q -- '-*' "$argv[1]"
        return 1
    end
    string join0 -- $argv
    return 0
end

function __amqprun_complete_command
    set -l words (__amqprun_command | string split0)
    if test (count $words) -gt 0
        complete -C "$(string join -- ' ' $words)"
    end
end

function __amqprun_in
    set -l tokens (commandline -opc)
    contains -- "$tokens[2]" $argv
end

# An option of amqprun itself can stand here.
function __amqprun_run
    not __amqprun_in change destroy status check evict history hold release doctor
    and not __amqprun_has_command
end

# The command begins before the word under the cursor.
function __amqprun_has_command
    set -l words (__amqprun_command | string split0)
    test (count $words) -gt 1
end

complete -c amqprun -n "test (count (commandline -opc)) -eq 1" -a change -d 'Add, remove or set slots'
complete -c amqprun -n "test (count (commandline -opc)) -eq 1" -a destroy -d 'Remove a semaphore'
complete -c amqprun -n "test (count (commandline -opc)) -eq 1" -a status -d 'Show who holds and who waits'
complete -c amqprun -n "test (count (commandline -opc)) -eq 1" -a check -d 'Show whether the lock is free'
complete -c amqprun -n "test (count (commandline -opc)) -eq 1" -a evict -d 'Stop a holder'
complete -c amqprun -n "test (count (commandline -opc)) -eq 1" -a history -d 'List the runs that were recorded'
complete -c amqprun -n "test (count (commandline -opc)) -eq 1" -a hold -d 'Take a lock for a script'
complete -c amqprun -n "test (count (commandline -opc)) -eq 1" -a release -d 'Give back the lock of hold'
complete -c amqprun -n "test (count (commandline -opc)) -eq 1" -a doctor -d 'Look whether it can work here'
complete -c amqprun -n __amqprun_command -a '(__amqprun_complete_command)'

# Options of every form.
set -l any "__amqprun_run; or __amqprun_in $subcommands"
set -l all "__amqprun_run; or __amqprun_in $subcommands release"
set -l lock '__amqprun_run; or __amqprun_in hold'
complete -c amqprun -n $any -l url -x -d 'Broker; repeat for the nodes of a cluster'
complete -c amqprun -n $any -l url-file -r -F -d 'File with a URL a line'
complete -c amqprun -n $any -l password-file -r -F -d 'File with the password'
complete -c amqprun -n $any -l cacert -r -F -d 'Certificate authority, PEM'
complete -c amqprun -n $any -l cert -r -F -d "Client's certificate, PEM"
complete -c amqprun -n $any -l key -r -F -d "Client's key, PEM"
complete -c amqprun -n $any -l connect-timeout -x -d 'For connecting, and for each answer'
complete -c amqprun -n $any -l heartbeat -x -d 'Whole seconds, at least 2'
complete -c amqprun -n $all -s v -l verbose -d 'Log each step'
complete -c amqprun -n $all -s q -l quiet -d 'No warnings'
complete -c amqprun -n $all -l log-format -x -a 'text json' -d 'Form of messages'
complete -c amqprun -n $all -s h -l help -d 'Show help'
complete -c amqprun -n $any -l semaphore -x -a '(__amqprun_locks semaphore)' -d 'The lock is a slot of a semaphore'
complete -c amqprun -n '__amqprun_run; or __amqprun_in destroy status check evict history hold doctor' -l mutex -x -a '(__amqprun_locks mutex)' -d 'The lock is a mutex'
complete -c amqprun -n '__amqprun_run; or __amqprun_in check hold' -s E -l conflict-exit-code -x -d 'Exit status when not acquired'

complete -c amqprun -n '__amqprun_in change' -l to -x -d 'Set the number of slots'
complete -c amqprun -n '__amqprun_in change' -l drain -d 'Remove slots when their holders have left'
complete -c amqprun -n '__amqprun_in status history doctor' -l json -d 'As one JSON object'
complete -c amqprun -n '__amqprun_in status' -l watch -d 'Again and again'
complete -c amqprun -n '__amqprun_in evict' -l holder -x -d 'Whom, by ID'
complete -c amqprun -n '__amqprun_in hold' -l for -x -a '(__fish_complete_pids)' -d 'Hold it while this process lives'
complete -c amqprun -n '__amqprun_in hold' -l max -x -d 'Hold it at most so long'
complete -c amqprun -n '__amqprun_in hold' -l log -r -F -d 'Append messages to'
complete -c amqprun -n '__amqprun_in history' -s n -x -d 'How many runs'
complete -c amqprun -n '__amqprun_in history' -l follow -d 'Go on with what begins and ends'

complete -c amqprun -n $lock -s n -l nonblock -d 'Do not wait'
complete -c amqprun -n $lock -s w -l wait -x -d 'Wait at most so long'
complete -c amqprun -n $lock -l timeout -x -d 'Wait at most so long'
complete -c amqprun -n $lock -l create -x -d 'Create the semaphore with so many slots'
complete -c amqprun -n $lock -l slots -x -d 'Create the semaphore with so many slots'
complete -c amqprun -n $lock -l count -x -a all -d 'Take so many slots, or all'
complete -c amqprun -n $lock -l priority -x -d 'Among waiters the highest first'
complete -c amqprun -n $lock -l greedy -d 'Take all slots that are free'
complete -c amqprun -n __amqprun_run -l elastic -d 'Let the set grow and shrink'
complete -c amqprun -n __amqprun_run -s c -l command -x -d 'Run by the shell'
complete -c amqprun -n $lock -s s -l signal -x -a 'TERM INT HUP QUIT USR1 USR2 KILL' -d 'How to stop the command on a loss'
complete -c amqprun -n $lock -s k -l kill-after -x -d 'How long after that to kill it'
complete -c amqprun -n __amqprun_run -l on-loss -x -a 'stop pause keep' -d 'What to do when the connection is lost'
complete -c amqprun -n __amqprun_run -l regain -x -d 'How long a paused command waits for the lock'
complete -c amqprun -n __amqprun_run -l orphans -x -a 'leave wait kill' -d 'What to do with processes left behind'
complete -c amqprun -n $lock -l metadata -x -d 'A note that status shows'
complete -c amqprun -n $lock -l history -d 'Record the run'
complete -c amqprun -n $lock -l fence -d 'Give the command a fencing token'
complete -c amqprun -n __amqprun_run -l once -x -d 'Do not run if a run has succeeded within'
complete -c amqprun -n $lock -l show-command -d 'Let status show the arguments of the command'
complete -c amqprun -n $lock -l hide-command -d 'Let status show the program alone'
complete -c amqprun -n __amqprun_run -l report -r -F -d 'Write what has happened, as JSON'
complete -c amqprun -n $lock -l check-interval -x -d 'Between two checks of the lock'
complete -c amqprun -n $lock -l progress -x -d 'How often to show that it waits'
complete -c amqprun -n __amqprun_run -l version -d 'Show the version'
