load ../lib
@test "gm among themselves" {
 for l in v1 v2 v3 v4.9 v5; do
  start_ready email-$l gm-$l email -ready-fd 8
  gm-$l user -n 2 2>user.err
  wait_for -t 5 lines_in email-$l.out 2
  stop email-$l || true
  cat email-$l.out >&3
 done
}
@test "ex" {
 start_ready sub gm-v5 sub -topic email.sent -n 1 -ready-fd 8
 start service email-service
 sleep 0.4
 gm-v5 user 2>user.err
 finish sub
 cat sub.out service.out >&3
 }
@test "reg" {
 start micro micro registry watch
 start_ready reg gm-v2 reg -meta zone=a -version 2.1 -ready-fd 8 register greeter 10.77.0.1:4444
 gm-v5 reg list >&3
 gm-v5 reg get greeter >&3
 stop reg
 sleep 0.1
 cat micro.out >&3
}
