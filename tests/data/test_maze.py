"""Mazes with eight ways, their demonstrator, and policies in them."""

from types import SimpleNamespace

import numpy as np
import pytest

from zoo.errors import ConfigError
from zoo.render import sequences
from zoo_data import maze


def mazes(n=60, seed=0):
    return maze.random_mazes(np.random.default_rng(seed), n)


def test_the_demonstrator_arrives_by_all_eight_ways():
    one = mazes(1)[np.zeros(200, np.int64)]
    shown = maze.demonstrated(np.random.default_rng(1), one)
    assert shown.arrived.all()
    heights = [
        np.take_along_axis(shown.places[:, :, 1], (shown.places[:, :, 0] > wall).argmax(1)[:, None], 1)[:, 0]
        for wall in one.walls[0]
    ]
    ways = {tuple(way) for way in np.stack([h > 0.5 for h in heights], 1)}
    assert len(ways) == 8
    # in gaps, with the agent's radius
    for height, gaps in zip(heights, one.gaps[0], strict=True):
        assert np.abs(height[:, None] - gaps).min(1).max() < maze.GAP - maze.RADIUS


def test_no_action_leads_into_a_wall_or_past_it():
    many, random = mazes(500), np.random.default_rng(2)
    places = many.starts
    for _ in range(300):
        actions = random.uniform([-2.4, -3.0], [3.6, 3.0], places.shape)
        before, places = places, maze.moved(many, places, actions)
        assert np.abs(places - before).max() <= maze.REACH + 1e-12
        through = (before[:, None, 0] < many.walls) != (places[:, None, 0] < many.walls)
        at_wall = np.abs(places[:, None, 0] - many.walls) < maze.THICK + maze.RADIUS
        was_in_gap, in_gap = (
            (np.abs(each[:, None, None, 1] - many.gaps) < maze.GAP - maze.RADIUS).any(2) for each in (before, places)
        )
        assert (in_gap | ~at_wall).all()
        assert (in_gap | was_in_gap | ~through).all()
    # not because nobody went anywhere
    assert (places[:, 0] > many.walls[:, 0]).any()
    assert (places > 0).all()
    assert (places < 1).all()


def test_pictures_show_walls_goal_and_agent_where_they_are():
    few = mazes(20)
    seen = maze.pictures(few, few.starts)
    assert seen.shape == (20, 3, 32, 32)
    assert seen.dtype == np.uint8
    for plane, places in ((1, few.goals), (2, few.starts)):
        brightest = seen[:, plane].reshape(20, -1).argmax(1)
        drawn = np.stack([brightest % 32 + 0.5, brightest // 32 + 0.5], 1) / 32
        assert np.abs(drawn - places).max() < 0.52 / 32
    # as much red as there is wall
    area = seen[:, 0].astype(np.float64).sum((1, 2)) / (255 * 32 * 32)
    np.testing.assert_allclose(area, 3 * 2 * maze.THICK * (1 - 4 * maze.GAP), atol=2e-3)


def test_chunks_are_what_the_demonstrator_did_next():
    data = maze.maze(train=30, validation=3, test=3, chunks=4)
    assert data.train.x.shape == (120, 16, 2)
    assert data.train.x.dtype == np.float32
    assert np.abs(data.train.x).max() <= 1.0
    again = maze.maze(train=30, validation=9, test=3, chunks=4)
    np.testing.assert_array_equal(data.train.x, again.train.x)
    np.testing.assert_array_equal(data.test.condition["picture"], again.test.condition["picture"])
    # from where the agent is, the actions lead through no wall: the mean of two ways would
    rng = np.random.default_rng([0, 0])
    those = maze.random_mazes(rng, 30)[np.repeat(np.arange(30), 4)]
    places = data.train.condition["place"].astype(np.float64)
    for action in range(16):
        led = maze.moved(those, places, data.train.x[:, action].astype(np.float64))
        blocked = (led == places).all(1) & (data.train.x[:, action] != 0).any(1)
        assert blocked.mean() < 0.02
        places = led


@pytest.mark.parametrize("options", [{"train": 0}, {"chunks": 0}, {"seed": -1}])
def test_what_cannot_be_is_refused(options):
    with pytest.raises(ConfigError):
        maze.maze(**options)


def seeing_planner(which):
    """A policy that reads the picture: to the gaps of the nearest wall ahead, or between them."""

    def policy(seen, places, seed):
        plans = np.zeros((len(seen), maze.HORIZON, 2), np.float32)
        for k, (picture, place) in enumerate(zip(seen.astype(float) / 255, places, strict=True)):
            columns = np.flatnonzero(picture[0].max(0) > 0.4)
            ahead = columns[(columns + 0.5) / 32 > place[0] - 0.03]
            goal = np.unravel_index(picture[1].argmax(), (32, 32))
            at = place.astype(float)
            if len(ahead):
                middles = np.flatnonzero(picture[0][:, ahead[0]] < 0.2)
                lower, upper = (np.mean(part) for part in np.split(middles, [np.diff(middles).argmax() + 1]))
                height = ({"lower": lower, "upper": upper, "mean": (lower + upper) / 2}[which] + 0.5) / 32
                marks = [((ahead[0] + 0.5) / 32 - 0.07, height), ((ahead[0] + 0.5) / 32 + 0.09, height)]
                if abs(at[1] - height) < 0.03:
                    marks = marks[1:]
            else:
                marks = [((goal[1] + 0.5) / 32, (goal[0] + 0.5) / 32)]
            for step in range(maze.HORIZON):
                towards = np.array(marks[0]) - at
                if np.linalg.norm(towards) < 0.02 and len(marks) > 1:
                    marks, towards = marks[1:], np.array(marks[1]) - at
                plans[k, step] = towards / max(np.linalg.norm(towards), 0.03) * 0.03 / maze.REACH
                at = at + plans[k, step] * maze.REACH
        return plans

    return policy


def test_a_policy_that_takes_a_gap_arrives_and_one_between_them_does_not():
    some = mazes(40, seed=5)
    assert maze.rolled_out(seeing_planner("lower"), some).arrived.mean() > 0.9
    assert maze.rolled_out(seeing_planner("mean"), some).arrived.mean() == 0.0


def test_success_is_measured_beside_the_demonstrator():
    def sample(n, *, condition, seed):
        return seeing_planner("upper")(condition["picture"], condition["place"], seed)

    model = SimpleNamespace(manifest=SimpleNamespace(sample=object()), sample=sample)
    asked = SimpleNamespace(model=model, data=SimpleNamespace(name="maze"), samples=30, seed=0)
    metrics = maze.success(asked)["maze_success"]
    assert metrics["of_the_demonstrator"] == 1.0
    assert 0.8 < metrics["value"] <= 1.0
    assert metrics["samples"] == 30
    asked.data.name = "moons"
    assert maze.success(asked) == {}


def test_plans_are_described_as_paths_through_the_picture():
    """What is said of samples leads where the demonstrator went, and shows the agent as the picture does."""
    data = maze.maze(train=20, validation=1, test=1, chunks=4)
    assert data.modality == maze.PLAN
    few = mazes(20)
    shown = maze.demonstrated(np.random.default_rng(0), few)
    led = [
        sequences.places(actions, maze.PLAN, places[0])
        for actions, places in zip(shown.actions, shown.places, strict=True)
    ]
    np.testing.assert_allclose(led, shown.places, atol=1e-9)
    left, right, bottom, top = maze.PLAN.extent
    centres = (np.arange(maze.SIDE) + 0.5) / maze.SIDE
    across, down = left + (right - left) * centres, top + (bottom - top) * centres
    x, y = few.starts.T[:, :, None, None]
    squared = (across[None, None] - x) ** 2 + (down[None, :, None] - y) ** 2
    spots = np.rint(255 * np.exp(-squared / (2 * maze.PLAN.heatmap.sigma**2)))
    np.testing.assert_array_equal(maze.pictures(few, few.starts)[:, maze.PLAN.heatmap.channel], spots)
