# Completion of amqprun for bash; needs nothing else. With bash-completion the command's own words are completed too.
# shellcheck shell=bash

_amqprun() {
  local cur=${COMP_WORDS[COMP_CWORD]} first=1 sub='' options value=''
  local broker='--url --url-file --password-file --cacert --cert --key --connect-timeout --heartbeat
    -v --verbose -q --quiet --log-format -h --help'
  COMPREPLY=()
  case $COMP_CWORD:${COMP_WORDS[1]} in
    1:*) ;;
    *:change | *:destroy | *:status | *:check | *:evict | *:history | *:hold | *:release | *:doctor) sub=${COMP_WORDS[1]} first=2 ;;
  esac
  case $sub in
    change) options="--semaphore --to --drain $broker" ;;
    destroy) options="--mutex --semaphore $broker" ;;
    status) options="--mutex --semaphore --json --watch $broker" ;;
    check) options="--mutex --semaphore -E --conflict-exit-code $broker" ;;
    evict) options="--mutex --semaphore --holder $broker" ;;
    history) options="--mutex --semaphore -n --json --follow $broker" ;;
    hold)
      options="--mutex --semaphore -n --nonblock -w --wait --timeout -E --conflict-exit-code --create --slots --count --priority --greedy --check-interval
        --progress --for --max -s --signal -k --kill-after --log --metadata --history --fence --show-command --hide-command $broker"
      ;;
    doctor) options="--mutex --semaphore --json $broker" ;;
    release) options="-v --verbose -q --quiet --log-format -h --help" ;;
    *)
      options="--mutex --semaphore -n --nonblock -w --wait --timeout -E --conflict-exit-code --create --slots --count --priority --greedy --elastic
        -c --command -s --signal -k --kill-after --on-loss --regain --orphans --metadata --history --fence --once --show-command --hide-command --report --check-interval --progress
        --version $broker"
      ;;
  esac

  # The first word that is neither an option nor the value of one begins the command.
  local i word
  for ((i = first; i < COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    case $word in
      --)
        _amqprun_command $((i + 1))
        return
        ;;
      --mutex | --semaphore | --wait | --timeout | --conflict-exit-code | --create | --slots | --count | --priority | --command | --signal | --kill-after | \
        --on-loss | --regain | --orphans | --metadata | --once | --report | --check-interval | --progress | --url | --url-file | --password-file | --cacert | --cert | \
        --key | --connect-timeout | --heartbeat | --log-format | --to | --holder | --for | --max | --log | -w | -E | -c | -s | -k)
        [[ ${COMP_WORDS[i + 1]} != = ]] || ((i++)) # --option=value is three words to bash
        if ((++i >= COMP_CWORD)); then
          value=$word
        fi
        ;;
      -?*)
        if [[ $sub$word == history-n ]] && ((++i >= COMP_CWORD)); then
          value=$word
        fi
        ;;
      *)
        [[ -n $sub ]] || _amqprun_command "$i"
        return
        ;;
    esac
  done
  [[ $cur != = ]] || cur=''

  case $value in
    --url-file | --password-file | --cacert | --cert | --key | --report | --log)
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -f -- "$cur")
      ;;
    --mutex | --semaphore)
      mapfile -t COMPREPLY < <(compgen -W "$(_amqprun_locks "${value#--}" | while read -r name; do printf '%q ' "$name"; done)" -- "$cur")
      ;;
    --count) mapfile -t COMPREPLY < <(compgen -W 'all' -- "$cur") ;;
    --on-loss) mapfile -t COMPREPLY < <(compgen -W 'stop pause keep' -- "$cur") ;;
    --orphans) mapfile -t COMPREPLY < <(compgen -W 'leave wait kill' -- "$cur") ;;
    --log-format) mapfile -t COMPREPLY < <(compgen -W 'text json' -- "$cur") ;;
    --signal | -s) mapfile -t COMPREPLY < <(compgen -W "$(compgen -A signal -- SIG | sed 's/^SIG//')" -- "$cur") ;;
    ?*) ;; # a name, a number or a time
    '')
      if [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
      elif ((COMP_CWORD == 1)); then
        mapfile -t COMPREPLY < <(compgen -W 'change destroy status check evict history hold release doctor' -- "$cur")
      elif [[ -z $sub ]]; then
        _amqprun_command "$COMP_CWORD"
      fi
      ;;
  esac
}

# The names of locks that somebody holds or waits for, where a broker is configured.
_amqprun_locks() { # mutex|semaphore
  [[ -n ${AMQPRUN_URL:-}${AMQPRUN_URL_FILE:-}${AMQP_URL:-} ]] || return
  amqprun status --json -q --connect-timeout 1 2>/dev/null </dev/null |
    grep -o "\"kind\":\"$1\",\"name\":\"[^\"\\]*" | sed 's/.*"//'
}

# The words from the Nth on are a command line of their own.
_amqprun_command() { # N
  if declare -F _comp_command_offset >/dev/null; then
    _comp_command_offset "$1"
  elif declare -F _command_offset >/dev/null; then
    _command_offset "$1"
  elif (($1 == COMP_CWORD)); then
    mapfile -t COMPREPLY < <(compgen -c -- "${COMP_WORDS[COMP_CWORD]}")
  else
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -f -- "${COMP_WORDS[COMP_CWORD]}")
  fi
}

complete -F _amqprun amqprun
