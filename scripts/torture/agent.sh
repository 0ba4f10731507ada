# An agent: reports its begin and its end, and answers. Its input begins with the key.
# An empty input means that meerkat was killed after it had started this script, but before it wrote the prompt.
read -r key rest || [ -n "$key" ] || exit 9
printf 'start %s %s %s %s\n' "$TORTURE_LIFE" "$key" "$$" "$MEERKAT_RUN" >> "$TORTURE_LOG"
n=$(($$ % 8))
case "$key" in
  *slow*) [ "$TORTURE_DRAIN" = 1 ] || sleep 60 ;;
  *)
    case $n in
      0) sleep 0.05 ;;
      1) sleep 0.02 & wait ;;
      2) trap '' TERM; sleep 0.03; sleep 0.03 ;;
    esac ;;
esac
printf 'end %s %s %s %s\n' "$TORTURE_LIFE" "$key" "$$" "$MEERKAT_RUN" >> "$TORTURE_LOG"
printf '%s answered by %s' "$key" "$$.$MEERKAT_RUN"
