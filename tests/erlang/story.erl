%% Plays scripted scenarios with OTP's own supervisor and prints what happened, one line of JSON an
%% event, after the number of the scenario and a tab.
%%
%% Every event is noted with a strictly monotonic timestamp, and the notes are sorted at the end.
%% What processes cannot note themselves (being killed, having replied) is traced.
%%
%% Children are known by their id and the ids of the supervisors above them; steps name them by id alone.
-module(story).
-behaviour(supervisor).
-export([main/1, init/1, start_worker/3, start_worker/4, start_nested/3, start_nested/4, worker/3]).

-define(SETTLED_IN_A_ROW, 3).

%% Reads scenarios from File, plays Parallel of them at a time, prints the stories, halts.
main([File, Parallel]) ->
    logger:set_primary_config(level, none),
    {ok, Scenarios} = file:consult(File),
    play_all(Scenarios, list_to_integer(Parallel), 0),
    halt(0).

play_all([], _Parallel, 0) ->
    ok;
play_all([Scenario | Rest], Parallel, Playing) when Playing < Parallel ->
    Self = self(),
    spawn(fun() -> Self ! {played, element(1, Scenario), play(Scenario)} end),
    play_all(Rest, Parallel, Playing + 1);
play_all(Scenarios, Parallel, Playing) ->
    receive
        {played, Number, Lines} ->
            [io:put_chars([integer_to_list(Number), $\t, Line, $\n]) || Line <- Lines],
            play_all(Scenarios, Parallel, Playing - 1)
    end.

%%% One scenario.

play({_Number, Pace, Tree, Steps}) ->
    process_flag(trap_exit, true),
    Notes = spawn_link(fun() -> notes([]) end),
    Counts = ets:new(counts, [public, set]),
    Names = ets:new(names, [public, bag]),
    Context = {Notes, Counts, Names, []},
    Begun = begin_at(Pace),
    Root = start_root(Context, Tree),
    settle(Pace, Context, Root),
    Left = steps(Steps, 1, Begun, Pace, Context, Root),
    stop(Left, Context),
    Notes ! {tell, self()},
    receive {story, Lines} -> Lines end.

%% Whole seconds of the monotonic clock are OTP's grain: a scenario with time in it begins just after
%% one.
begin_at({timed, _}) ->
    Now = erlang:monotonic_time(millisecond),
    Rest = 1000 - (((Now rem 1000) + 1000) rem 1000),
    timer:sleep(Rest),
    Now + Rest;
begin_at(_Untimed) ->
    erlang:monotonic_time(millisecond).

start_root(Context, Tree) ->
    case supervisor:start_link(?MODULE, {Context, Tree}) of
        {ok, Root} ->
            watch(Context, root, Root, supervisor),
            note_template(Context, Root, Tree),
            Root;
        {error, {shutdown, _}} ->
            note(Context, <<"{\"supervisor_exited\":\"shutdown\"}">>),
            flush_exit(),
            none;
        {error, _} ->
            note(Context, <<"{\"supervisor_exited\":\"start_spec\"}">>),
            flush_exit(),
            none
    end.

flush_exit() ->
    receive {'EXIT', _, _} -> ok after 0 -> ok end.

steps([], _Index, _Begun, _Pace, _Context, Root) ->
    Root;
steps([{AtMs, Action} | Rest], Index, Begun, Pace, Context, Root) ->
    wait_until(Pace, Begun + AtMs),
    act(Action, Index, Context, Root),
    settle(Pace, Context, Root),
    steps(Rest, Index + 1, Begun, Pace, Context, Root).

wait_until({timed, _}, Moment) ->
    timer:sleep(max(0, Moment - erlang:monotonic_time(millisecond)));
wait_until(_Untimed, _Moment) ->
    ok.

act({exit, Id, Reason}, _Index, {Notes, _, Names, _}, _Root) ->
    case named(Names, Id) of
        [{_, Pid, worker} | _] when Reason =:= killed ->
            Notes ! {own_end, Pid},
            exit(Pid, kill);
        [{_, Pid, worker} | _] ->
            Pid ! {end_yourself, Reason};
        [{_, Pid, supervisor} | _] ->
            Notes ! {own_end, Pid},
            Pid ! {system, {self(), make_ref()}, {terminate, Reason}};
        [] ->
            ok
    end;
act({call, Whom, Request}, Index, Context = {Notes, _, Names, _}, Root) ->
    {Path, Pid} = case Whom of
                      root -> {[], Root};
                      Id ->
                          case named(Names, Id) of
                              [{{Above, _}, Nested, supervisor} | _] -> {Above ++ [Id], Nested};
                              _ -> {[], none}
                          end
                  end,
    case is_pid(Pid) andalso is_process_alive(Pid) of
        true ->
            Notes ! {asked, Pid, Index},
            Pid ! {'$gen_call', {Notes, {reply, Index}}, request(setelement(4, Context, Path), Pid, Request)};
        false ->
            note(Context, <<"{\"result\":{\"error\":\"noproc\"}}">>)
    end;
act(stop, _Index, _Context, Root) ->
    is_pid(Root) andalso exit(Root, shutdown),
    ok.

request(Context, Pid, {start_child, Child}) ->
    case {template(Context, Pid), Child} of
        {none, _} -> {start_child, spec(Context, Child)};
        {Template, none} -> {start_child, [Template]};
        {_, {#{id := Id}, _, _}} -> {start_child, [Id]}
    end;
request(Context = {_, _, Names, Path}, Pid, {terminate_child, Id}) ->
    Under = [Child || {_, Child, _} <- alive(ets:lookup(Names, {Path, Id}))],
    case {template(Context, Pid), Under} of
        {none, _} -> {terminate_child, Id};
        {_, []} -> {terminate_child, Id};
        {_, [Instance | _]} -> {terminate_child, Instance}
    end;
request(_Context, _Pid, Request) ->
    Request.

%% Those of that name who are there, the oldest first.
named(Names, Id) ->
    alive(ets:match_object(Names, {{'_', Id}, '_', '_'})).

alive(Children) ->
    [Child || Child = {_, Pid, _} <- Children, is_process_alive(Pid)].

stop(none, _Context) ->
    ok;
stop(Root, _Context) ->
    exit(Root, shutdown),
    receive {'EXIT', Root, _} -> ok end.

%%% Waiting until nothing moves: every supervisor is in its loop and has read its mailbox, every
%%% worker has read its own, several times in a row.

settle({timed, Millis}, _Context, _Root) ->
    timer:sleep(Millis);
settle({prompt, Millis}, Context, Root) ->
    settle_until(?SETTLED_IN_A_ROW, Millis, Context, Root).

settle_until(0, _Millis, _Context, _Root) ->
    ok;
settle_until(Left, Millis, Context = {_, _, Names, _}, Root) ->
    case Millis of
        0 -> erlang:yield();
        _ -> timer:sleep(Millis)
    end,
    Pids = [{Root, supervisor} || is_pid(Root)] ++ [{Pid, Kind} || {_, Pid, Kind} <- ets:tab2list(Names)],
    case lists:all(fun is_settled/1, Pids) of
        true -> settle_until(Left - 1, Millis, Context, Root);
        false -> settle_until(?SETTLED_IN_A_ROW, Millis, Context, Root)
    end.

is_settled({Pid, Kind}) ->
    case process_info(Pid, [message_queue_len, current_function]) of
        [{message_queue_len, 0}, {current_function, {Module, Function, _}}] ->
            case Kind of
                supervisor -> {Module, Function} =:= {gen_server, loop};
                worker -> {Module, Function} =:= {?MODULE, worker_loop}
            end;
        undefined -> true;
        _ -> false
    end.

%%% The cast.

init({Context, {Flags, Children}}) ->
    {ok, {Flags, [spec(Context, Child) || Child <- Children]}}.

spec(Context, {Spec = #{id := Id}, Behaviour, none}) ->
    Spec#{start => {?MODULE, start_worker, [Context, Id, Behaviour]}};
spec(Context, {Spec = #{id := Id}, Behaviour, Tree}) ->
    Spec#{start => {?MODULE, start_nested, [Context, Id, {Behaviour, Tree}]}}.

%% An instance of simple_one_for_one brings its own name.
start_worker(Context, _Template, Behaviour, Id) ->
    start_worker(Context, Id, Behaviour).

start_worker(Context, Id, Behaviour) ->
    start(Context, Id, worker, Behaviour,
          fun(SlowMs) -> proc_lib:start_link(?MODULE, worker, [Context, Id, SlowMs]) end).

start_nested(Context, Id, {Behaviour, Tree}) ->
    start(Context, Id, supervisor, Behaviour,
          fun(_SlowMs) ->
                  Started = supervisor:start_link(?MODULE, {under(Context, Id), Tree}),
                  [note_template(Context, Pid, Tree) || {ok, Pid} <- [Started]],
                  Started
          end).

start_nested(Context, _Template, Both, Id) ->
    start_nested(Context, Id, Both).

under({Notes, Counts, Names, Path}, Id) ->
    {Notes, Counts, Names, Path ++ [Id]}.

start(Context = {_, Counts, _, Path}, Id, Kind, {Start, SlowMs}, Open) ->
    N = ets:update_counter(Counts, {Path, Id}, 1, {{Path, Id}, 0}),
    case Start of
        ignore ->
            note(Context, ["{\"ignored\":\"", name(Id), "\"}"]),
            ignore;
        {fail_from, From} when N >= From ->
            start_failed(Context, Id, N);
        _ ->
            case Open(SlowMs) of
                {ok, Pid} ->
                    watch(Context, Id, Pid, Kind),
                    note(Context, ["{\"started\":\"", name(Id), "\",\"n\":", integer_to_list(N), "}"]),
                    {ok, Pid};
                {error, _} ->
                    start_failed(Context, Id, N)
            end
    end.

start_failed(Context, Id, N) ->
    note(Context, ["{\"start_failed\":\"", name(Id), "\",\"n\":", integer_to_list(N), "}"]),
    {error, start_failed}.

watch({Notes, _, Names, Path}, Id, Pid, Kind) ->
    Id =:= root orelse ets:insert(Names, {{Path, Id}, Pid, Kind}),
    Notes ! {watch, Pid, Id, Kind, self()},
    Flags = case Kind of
                worker -> [procs];
                supervisor -> [procs, send, 'receive']
            end,
    erlang:trace(Pid, true, [{tracer, Notes}, strict_monotonic_timestamp | Flags]).

%% What instances of a simple_one_for_one supervisor are like.
note_template({_, Counts, _, _}, Pid, {#{strategy := simple_one_for_one}, [{#{id := Id}, _, _}]}) ->
    ets:insert(Counts, {{template, Pid}, Id});
note_template(_Context, _Pid, _Tree) ->
    true.

template({_, Counts, _, _}, Pid) ->
    case ets:lookup(Counts, {template, Pid}) of
        [{_, Id}] -> Id;
        [] -> none
    end.

worker(Context, Id, SlowMs) ->
    process_flag(trap_exit, true),
    Parent = hd(get('$ancestors')),
    proc_lib:init_ack({ok, self()}),
    worker_loop(Context, Id, SlowMs, Parent).

worker_loop({Notes, _, _, _}, _Id, SlowMs, Parent) ->
    receive
        {end_yourself, Reason} ->
            Notes ! {own_end, self()},
            exit(Reason);
        {'EXIT', Parent, Reason} ->
            Notes ! {told_to_end, self()},
            SlowMs > 0 andalso timer:sleep(SlowMs),
            exit(Reason)
    end.

%%% What happened, and when.

note({Notes, _, _, _}, Line) ->
    Notes ! {note, now_strictly(), Line}.

now_strictly() ->
    {erlang:monotonic_time(), erlang:unique_integer([monotonic])}.

%% Collects whatever it is told until it is asked for the story.
notes(Noted) ->
    receive
        {tell, To} ->
            Reference = erlang:trace_delivered(all),
            All = remaining_notes(Noted, Reference),
            To ! {story, tell(All)};
        Note ->
            notes([Note | Noted])
    end.

remaining_notes(Noted, Reference) ->
    receive
        {trace_delivered, all, Reference} -> Noted;
        Note -> remaining_notes([Note | Noted], Reference)
    end.

tell(Noted) ->
    Pids = maps:from_list([{Pid, {Id, Kind, Parent}} || {watch, Pid, Id, Kind, Parent} <- Noted]),
    Own = maps:from_list([{Pid, true} || {own_end, Pid} <- Noted]),
    Told = maps:from_list(
             [{Pid, true} || {told_to_end, Pid} <- Noted] ++
             [{Pid, true} || {trace_ts, Pid, 'receive', {'EXIT', From, _}, _} <- Noted,
                             From =:= element(3, maps:get(Pid, Pids))]),
    Replies = maps:from_list([{Index, true} || {trace_ts, _, send, {{reply, Index}, _}, _, _} <- Noted]),
    Lines = lists:append([lines(Note, Noted, Pids, Own, Told, Replies) || Note <- Noted]),
    [Line || {_, Line} <- lists:keysort(1, Lines)].

lines({note, At, Line}, _Noted, _Pids, _Own, _Told, _Replies) ->
    [{At, Line}];
lines({trace_ts, _Pid, send, {{reply, _}, Reply}, _To, At}, _Noted, Pids, _Own, _Told, _Replies) ->
    [{At, ["{\"result\":", result(Reply, Pids), "}"]}];
lines({trace_ts, Pid, exit, Reason, At}, Noted, Pids, Own, Told, Replies) ->
    {Id, Kind, _Parent} = maps:get(Pid, Pids),
    Unanswered = [{At, "{\"result\":{\"error\":\"noproc\"}}"} ||
                     {asked, Asked, Index} <- Noted, Asked =:= Pid, not is_map_key(Index, Replies)],
    IsTold = is_map_key(Pid, Told),
    IsOwn = is_map_key(Pid, Own) orelse Kind =:= supervisor,
    Line = if
               Id =:= root -> ["{\"supervisor_exited\":\"", reason(Reason), "\"}"];
               IsTold -> ["{\"stopped\":\"", name(Id), "\"}"];
               IsOwn -> ["{\"exited\":\"", name(Id), "\",\"reason\":\"", reason(Reason), "\"}"];
               true -> ["{\"stopped\":\"", name(Id), "\"}"]
           end,
    Unanswered ++ [{At, Line}];
lines(_Other, _Noted, _Pids, _Own, _Told, _Replies) ->
    [].

reason(normal) -> "normal";
reason(shutdown) -> "shutdown";
reason({shutdown, _}) -> "shutdown";
reason(killed) -> "killed";
reason(_) -> "crash".

name(Id) -> atom_to_list(Id).

result(ok, _) -> "\"ok\"";
result({ok, undefined}, _) -> "\"undefined\"";
result({ok, Pid}, _) when is_pid(Pid) -> "\"ok\"";
result({error, {already_started, _}}, _) -> error_word("already_started");
result({error, {bad_combination, _}}, _) -> error_word("bad_combination");
result({error, start_failed}, _) -> error_word("start_failed");
result({error, {start_failed, _Child}}, _) -> error_word("start_failed");
result({error, Reason}, _) when is_atom(Reason) -> error_word(atom_to_list(Reason));
result([{specs, Specs}, {active, Active}, {supervisors, Supervisors}, {workers, Workers}], _) ->
    io_lib:format("{\"active\":~b,\"specs\":~b,\"supervisors\":~b,\"workers\":~b}",
                  [Active, Specs, Supervisors, Workers]);
result(Children, Pids) when is_list(Children) ->
    ["[", lists:join(",", [child(Child, Pids) || Child <- Children]), "]"].

error_word(Word) -> ["{\"error\":\"", Word, "\"}"].

%% An instance of simple_one_for_one has no name in OTP; here it goes by the one it was started with.
child({undefined, Pid, Type, Modules}, Pids) when is_pid(Pid) ->
    {Id, _, _} = maps:get(Pid, Pids),
    child({Id, Pid, Type, Modules}, Pids);
child({Id, Child, Type, _}, _Pids) ->
    State = case Child of
                undefined -> "undefined";
                restarting -> "restarting";
                Pid when is_pid(Pid) -> "running"
            end,
    io_lib:format("{\"id\":\"~s\",\"state\":\"~s\",\"type\":\"~s\"}", [Id, State, Type]).
