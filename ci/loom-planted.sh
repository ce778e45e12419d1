# Sourced by `ci/loom.sh planted`: bugs that the models were seen to catch, and must catch still.
# plant MODEL FILE PERL-SUBSTITUTION: in a copy of the sources; the model's test must then fail.

copy=$CARGO_TARGET_DIR/planted
caught=0 missed=()
export CARGO_INCREMENTAL=1 CARGO_PROFILE_RELEASE_DEBUG=0 # built again for each

plant() {
    local model=$1 file=$2 change=$3
    [[ $model == *"$only"* ]] || return 0
    rm -rf "$copy"
    mkdir -p "$copy"
    cp -r Cargo.toml Cargo.lock README.md src docs benches tests examples "$copy"
    perl -0pi -e "$change" "$copy/src/$file"
    if cmp -s "src/$file" "$copy/src/$file"; then
        missed+=("$model: nothing to change in $file by $change")
        return
    fi
    if ! (cd "$copy" && cargo test --release --lib -p layby --no-run) >"$copy.log" 2>&1; then
        cat "$copy.log"
        missed+=("$model: $file does not build with $change")
    elif (cd "$copy" && timeout --kill-after=5 120 cargo test --release --lib -p layby "$model") >"$copy.log" 2>&1; then
        missed+=("$model: $file $change")
    else
        caught=$((caught + 1))
        printf 'caught by %s: %s %s\n    %s\n' "$model" "$file" "$change" \
            "$(grep -m1 -A1 'panicked at\|SIG' "$copy.log" | tail -1)"
    fi
}

# The join slot.
plant join_slot fiber/join.rs 's/(DONE\), Ordering::)AcqRel/$1Relaxed/'
plant join_slot fiber/join.rs 's/waiter.as_ptr\(\), Ordering::Release/waiter.as_ptr(), Ordering::Relaxed/'
plant join_slot fiber/join.rs 's/(detached, Ordering::Relaxed, Ordering::)Acquire/$1Relaxed/'
plant join_slot fiber/join.rs 's/(self.0.load\(Ordering::)Acquire/$1Relaxed/'
plant join_takes fiber/join.rs 's/(DONE\), Ordering::)AcqRel/$1Relaxed/'
plant detach_drops fiber/join.rs 's/(detached, Ordering::Relaxed, Ordering::)Acquire/$1Relaxed/'
plant detach_drops spawn/cell.rs 's/drop_unclaimed\(ending, &front.header\)/core::mem::forget(ending)/'

# Push and drain.
plant push_two fiber/state.rs 's/Post::Gone => None/Post::Gone | Post::Merged => None/'
plant push_two fiber/state.rs 's/(fetch_and\(!PENDING, Ordering::)AcqRel/$1Relaxed/'
plant push_two fiber/state.rs 's/_ if now & bit != 0 => Post::Merged/_ if now & bit != 0 => Post::Push/'
plant push_two fiber/header.rs 's/fetch_sub\(1, Ordering::Release/fetch_sub(1, Ordering::Relaxed/'
plant push_a_wake fiber/state.rs 's/HELD \| PENDING\) != 0 => Post::Given/HELD) != 0 => Post::Given/'
plant push_a_wake fiber/state.rs 's/before & PENDING == 0/true/'
plant push_a_wake fiber/state.rs 's/\(bits & !WAKE\)/bits/'
plant push_a_wake park/token.rs 's/Post::Merged \| Post::Gone => drop.*?\n/Post::Merged | Post::Gone => {}\n/s'

# Tokens, and the start.
plant token fiber/state.rs 's/(HELD\), Ordering::)AcqRel/$1Acquire/'
plant token fiber/header.rs 's/(header.signals.set\(bits as u8\);).*?drop_references\(this, bits\) \};/$1/s'
plant token park/token.rs 's/if (task.token.swap\(true, Ordering::Release\)) \{.*?\n    \}\n    notify\(task\);/notify(task);\n    $1;/s'
plant token park/token.rs 's/task.token.swap\(true, Ordering::Release\)/task.token.swap(true, Ordering::Relaxed)/'

# Cancel and deadline against park.
plant cancel_against_park park/cancel.rs 's/super::token::post\(task, CANCEL\);/task.state.set_cancelled();/'
plant cancel_against_park park/mod.rs 's/if cancellable \{ signals \| Signals::CANCEL \} else \{ signals \}/signals/'
plant cancel_against_park fiber/state.rs 's/\{ CANCELLED \} else/{ 0 } else/'
plant cancel_against_claim park/mod.rs 's/\(cancelled \|\| timed_out\) && wait.withdraw\(\)/(cancelled || timed_out) && (wait.withdraw() || true)/'
plant cancel_against_claim fiber/state.rs 's/fetch_or\(WAKE, Ordering::AcqRel\)/fetch_or(WAKE, Ordering::Relaxed)/'
plant deadline_against_claim park/mod.rs 's/\(cancelled \|\| timed_out\) && wait.withdraw\(\)/(cancelled || timed_out) && (wait.withdraw() || true)/'

# Frames.
plant frame_tripped_against_claim fiber/state.rs 's/self.post_with\(CANCEL, EXPIRED\)/self.post_with(CANCEL, 0)/'
plant frame_tripped_against_claim park/mod.rs 's/\(cancelled \|\| timed_out\) && wait.withdraw\(\)/(cancelled || timed_out) && (wait.withdraw() || true)/'
plant frame_tripped_against_close park/frames.rs 's/if self.tripped.swap\(true, Ordering::Release\) \{\s*return;\s*\}(.*?\n        \})\n    \}/$1; self.tripped.store(true, Ordering::Release);\n    }/s'
plant frame_tripped_against_close park/frames.rs 's/task.state.clear_expired\(\);\s*if (View::of_task\(task\).frames\(\).any\(Frame::is_expired\)) \{/let expired = $1;\n    task.state.clear_expired();\n    if expired {/'

# Scopes.
plant scope_two_ends scope/block.rs 's/true => core::mem::replace\(&mut state.waiter, ptr::null\(\)\)/true => ptr::null()/'
plant scope_a_cancel_of_the_parent_against_its_opening park/nest.rs 's/if task.state.is_cancelled\(\)/if false/'
plant scope_a_cancel_of_the_parent_against_its_opening sched/cancel.rs 's/tell\(task\);\n    if task.nests.any\(\) \{\n        go_down\(vec!\[task.clone\(\)\]\);\n    \}/if task.nests.any() { go_down(vec![task.clone()]); }\n    tell(task);/'
plant scope_a_cancel_of_the_parent_against_its_opening scope/block.rs 's/        !state.cancelled\n/        true\n/'
plant scope_a_cancel_of_the_parent_against_its_closing fiber/nest.rs 's/innermost.0 = nest.outer.get\(\);//'
plant scope_two_ends scope/block.rs 's/if state.is_empty\(\) \{\s*return false;\s*\}//'

# Select.
plant select_two_wakers park/claim.rs 's/compare_exchange\(OPEN, index, Ordering::Relaxed, Ordering::Relaxed\).is_ok\(\)/swap(index, Ordering::Relaxed) != index/'
plant select_two_wakers_and_a_cancel park/claim.rs 's/compare_exchange\(OPEN, WITHDRAWN, Ordering::Relaxed, Ordering::Relaxed\).is_ok\(\)/load(Ordering::Relaxed) == OPEN/'

plant select_opposite channel/shared.rs 's/let link = if !ready \{/let link = if true {/'
plant select_both_ends channel/shared.rs 's/state.can_send\(claim\)/state.can_send(core::ptr::null())/'
plant select_between_the_locks channel/shared.rs 's/let link = if !ready \{/let link = if true {/'
plant select_between_the_locks channel/shared.rs 's/\} else if !claim.withdraw\(\) \{\s*Link::Claimed/} else if claim.withdraw() \&\& false {\n            Link::Claimed/'
plant select_the_last_leaves channel/state.rs 's/self.receivers.disconnect\(wakes\);//'

# The spin lock, and the channel.
plant spin_lock_two util/spin.rs 's/(compare_exchange\(false, true, Ordering::)Acquire/$1Relaxed/'
plant spin_lock_two util/spin.rs 's/(store\(false, Ordering::)Release/$1Relaxed/'
plant channel_a_send_and_a_cancel channel/shared.rs 's/(self.channel.unlink\(self.node, self.side, false\))/$1 || true/'
plant channel_a_receive_and_a_cancel channel/shared.rs 's/(self.channel.unlink\(self.node, self.side, false\))/$1 || true/'
plant channel_the_last_leaves channel/shared.rs 's/(self.channel.unlink\(self.node, self.side, false\))/$1 || true/'
plant channel_the_last_leaves_and_one channel/state.rs 's/self.receivers.disconnect\(wakes\);//'
plant channel_the_last_leaves_and_one channel/state.rs 's/self.senders.disconnect\(wakes\);//'
plant channel_a_rendezvous channel/state.rs 's/unsafe \{ self.put\(node.slot\(\), wakes\) \}/Put::Full/'

# Sleep and wake.
plant sleep_two sched/remote.rs 's/(store\(SLEEPING, Ordering::Relaxed\);)\s*fence\(Ordering::SeqCst\);/$1/'
plant sleep_two sched/remote.rs 's/(fn notify\(&self\) \{)\s*fence\(Ordering::SeqCst\);/$1/'
plant sleep_two sched/remote.rs 's/self.inbox.load\(Ordering::Relaxed\).is_null\(\) && //'
plant sleep_two sched/remote.rs 's/self.sleep.compare_exchange\(SLEEPING, NOTIFIED, Ordering::AcqRel, Ordering::Relaxed\).is_ok\(\);/{ self.sleep.store(NOTIFIED, Ordering::Release); true };/'
plant sleep_two sched/remote.rs 's/task.as_ptr\(\), Ordering::Release/task.as_ptr(), Ordering::Relaxed/'
plant sleep_a_push sched/remote.rs 's/.is_null\(\) && self.fresh.is_empty\(\)/.is_null()/'
plant sleep_a_push sched/remote.rs 's/(store\(SLEEPING, Ordering::Relaxed\);)\s*fence\(Ordering::SeqCst\);/$1/'

# Placement.
plant placement_a_spawn_against_a_worker sched/placement.rs 's/&& self.others_have_fresh\(index, true\)\n/&& false\n/'
plant placement_a_spawn_against_a_watcher sched/placement.rs 's/&& self.others_have_fresh\(index, true\)\n/&& false\n/; s/self.others_have_fresh\(index, true\) && self.become/false && self.become/'
plant placement_a_spawn_a_watcher sched/placement.rs 's/&& self.others_have_fresh\(index, true\)\n/&& false\n/; s/self.others_have_fresh\(index, true\) && self.become/false && self.become/'
plant placement_a_spawn_against_a_worker sched/placement.rs 's/if !self.remotes.iter\(\).any\(\|remote\| remote.is_sleeping\(\)\) \{\s*return;\s*\}/return;/'

# Shutdown.
plant shutdown_a_submit sched/shared.rs 's/(submitted.fetch_add\(1, Ordering::Relaxed\);)\s*fence\(Ordering::SeqCst\);/$1/'
plant shutdown_a_submit sched/shared.rs 's/(taken_back.fetch_add\(1, Ordering::Release\);)\s*self.wake_all\(\);/$1/'
plant shutdown_a_submit sched/shared.rs 's/&& !\(phase == Phase::Cancelling && self.is_quiescent\(\)\)//'
plant shutdown_two sched/shared.rs 's/&& !\(phase == Phase::Cancelling && self.is_quiescent\(\)\)//; s/(exit_if_quiescent\(&self\) -> bool \{)\s*fence\(Ordering::SeqCst\);/$1/'
plant shutdown_two sched/shared.rs 's/(Exiting as u8, Ordering::Release\);)\s*self.wake_all\(\);/$1/'

# The doorbell.
plant doorbell_two sync/doorbell.rs 's/state.rings \+= 1/state.rings += 0/'
plant doorbell_two sync/doorbell.rs 's/if state.rings > 0 \{/if false {/'
plant doorbell_a_ring sync/doorbell.rs 's/!(core::mem::replace\(&mut self.0.0.lock\(\).waiter, ptr::null\(\)\)).is_null\(\)/{ let _ = $1; true }/'

# The locks.
plant sync::loom::queue_two sync/queue.rs 's/(compare_exchange\(head, held, Ordering::)Acquire/$1Relaxed/'
plant sync::loom::queue_two sync/queue.rs 's/(store\(self.head.cast_mut\(\), Ordering::)Release/$1Relaxed/'
plant sync::loom::raw_three sync/raw.rs 's/state < READER && state & \(WRITER \| QUEUED \| WOKEN\) == QUEUED/false \&\& state == 0/'
plant sync::loom::raw_three sync/raw.rs 's/let cleared = if passes.is_some\(\) \{ WOKEN \} else \{ 0 \};/let cleared = 0;/'
plant sync::loom::raw_three sync/raw.rs 's/(compare_exchange_weak\(from, to, Ordering::)Acquire/$1Relaxed/'
plant sync::loom::raw_readers sync/raw.rs 's/(fetch_sub\(mode.unit\(\), Ordering::)Release/$1Relaxed/'
plant sync::loom::raw_downgrade sync/raw.rs 's/if before & QUEUED != 0 \{/if before == 0 {/'
plant sync::loom::raw_release sync/raw.rs 's/(if !unsafe \{ queue.unlink\(self.node\) \} \{\s*)return false;/$1return true;/'
plant sync::loom::raw_release sync/raw.rs 's/self.lock.note_if_empty\(queue.is_empty\(\)\);//'
plant sync::loom::raw_a_cancelled sync/raw.rs 's/if readers_are_next \{/if false \&\& readers_are_next {/'
plant sync::loom::barrier sync/barrier.rs 's/if node.note\(\) != barrier.generation.load\(Ordering::Relaxed\) \{\s*return false;\s*\}//'
plant sync::loom::condvar sync/condvar.rs 's/self.enlist\(&node\);\n\s*(let mutex = guard.release\(\);)/$1 self.enlist(&node);/'
plant sync::loom::semaphore sync/semaphore.rs 's/if state & QUEUED != 0 \{\n\s*self.serve\(\);\n\s*\}//'
plant sync::loom::once sync/once.rs 's/self.queue.wake_older\(round\);//'
plant sync::loom::once sync/once.rs 's/(\| phase, Ordering::)AcqRel/$1Relaxed/'
plant sync::loom::event sync/event.rs 's/self.queue.wake_older\(state \+ 2\);//'
plant sync::loom::wait_group sync/wait_group.rs 's/self.0.wake_all\(\);//'
plant sync::loom::wait_group sync/wait_group.rs 's/fetch_sub\(1, Ordering::AcqRel\)/fetch_sub(1, Ordering::Relaxed)/'

printf '%s planted bugs caught, %s missed\n' "$caught" "${#missed[@]}"
((${#missed[@]} == 0)) || { printf 'MISSED %s\n' "${missed[@]}"; exit 1; }
