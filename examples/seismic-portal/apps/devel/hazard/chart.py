"""The chart of a disaggregation: columns over magnitude and distance, each divided by epsilon, as polygons of an SVG."""

from model import DISTANCES, MAGNITUDES

WIDTH, HEIGHT = 760, 430
# One bin of distance goes right, one bin of magnitude goes back, which is right and up.
RIGHT, BACK = 46, (26, 22)
ORIGIN = (70, 370)
TALLEST = 200
COLUMN = 0.62  # of its bin


def point(distance, magnitude, height=0.0):
    return (ORIGIN[0] + distance * RIGHT + magnitude * BACK[0], ORIGIN[1] - magnitude * BACK[1] - height)


def polygon(corners):
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)


def step_of(tallest):
    """A round number of percent, of which five or fewer reach the top."""
    return next((step for step in (1, 2, 5, 10, 20) if step * 5 >= tallest), 20)


def chart(contributions):
    rows, columns = len(MAGNITUDES) - 1, len(DISTANCES) - 1
    step = step_of(max(one.share for one in contributions))
    scale = TALLEST / (step * 5)
    floor = polygon([point(0, 0), point(columns, 0), point(columns, rows), point(0, rows)])
    grid = [(point(0, row), point(columns, row)) for row in range(rows + 1)]
    grid += [(point(column, 0), point(column, rows)) for column in range(columns + 1)]
    wall = [(point(0, rows, step * n * scale), point(columns, rows, step * n * scale)) for n in range(6)]
    faces = []
    # From the back to the front, and from left to right, so that what is nearer covers what is behind.
    for one in sorted(contributions, key=lambda one: (-one.magnitude, one.distance)):
        if one.share < 0.05:
            continue
        left = one.distance / 20 - COLUMN / 2
        front = (one.magnitude - 5) / 0.5 - COLUMN / 2
        base = 0.0
        for index, part in enumerate(one.epsilons):
            if part * scale < 0.05:
                continue
            top = base + part * scale
            near = [point(left, front, base), point(left + COLUMN, front, base)]
            near += [point(left + COLUMN, front, top), point(left, front, top)]
            side = [point(left + COLUMN, front, base), point(left + COLUMN, front + COLUMN, base)]
            side += [point(left + COLUMN, front + COLUMN, top), point(left + COLUMN, front, top)]
            faces += [(f"e{index} side", polygon(side)), (f"e{index}", polygon(near))]
            lid = index, [point(left, front, top), point(left + COLUMN, front, top)]
            base = top
        lid[1].extend([point(left + COLUMN, front + COLUMN, base), point(left, front + COLUMN, base)])
        faces.append((f"e{lid[0]} lid", polygon(lid[1])))
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "floor": floor,
        "lines": grid + wall,
        "faces": faces,
        "distances": [(*point(index, 0), DISTANCES[index]) for index in range(columns + 1)],
        "magnitudes": [(*point(columns, index), MAGNITUDES[index]) for index in range(rows + 1)],
        "percents": [(*point(columns, rows, step * n * scale), step * n) for n in range(1, 6)],
    }
