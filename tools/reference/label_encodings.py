"""Encodings of a teacher's distribution, from their definitions: what a student is told of each token, and the gradient that
its logits get from it. label_experiment.py compares them.

  full           p itself
  sampled-TAU    ids with p >= TAU exactly; of the rest, with mass r, M = ceil(r / TAU) ids drawn by systematic sampling in the
                 order of ids, each worth r / M
  random-N       N draws with replacement, each worth 1 / N
  top_k-K        the K most probable ids, and the mass of all others as one class: the loss is the KL of the K + 1 classes
  renormalised-K the K most probable ids, scaled to sum to 1: no encoding of retort, but what other systems keep
  ce             no teacher: the token that stands next in the text

Rows are positions. Probabilities are f32, sums over the vocabulary f64. Random numbers come from the CPU, so that every device
draws the same."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

KINDS = ("full", "sampled", "random", "top_k", "renormalised", "ce")
LEVELS = 256  # of a head value in a record of u8


@dataclass(frozen=True)
class Encoding:
    name: str
    kind: str
    parameter: float = 0.0


@dataclass
class Label:
    """What a student learns from. The tail class of top_k has no distribution of its own over the ids that it holds."""

    target: torch.Tensor  # [T, V] p_hat
    heads: torch.Tensor | int = 0  # [T] ids with their values
    draws: torch.Tensor | int = 0  # [T] draws, an id that is drawn twice counted twice
    listed: torch.Tensor | None = None  # [T, V] the ids of top_k
    tail: torch.Tensor | None = None  # [T] mass of the tail class


def parse(name):
    kind, _, parameter = name.partition("-")
    if kind not in KINDS or (kind in ("full", "ce")) != (parameter == ""):
        raise ValueError(f"no encoding {name}")
    value = float(parameter or 0)
    if parameter and not (0 < value <= 1 if kind == "sampled" else value >= 1 and value == int(value)):
        raise ValueError(f"no encoding {name}")
    return Encoding(name, kind, value)


def encode(encoding, p, generator, following, records=False):
    """p: [T, V]; following: [T] the ids that stand next. records: round as a record of retort does, not only draw."""
    if encoding.kind == "full":
        return Label(p, heads=p.shape[-1])
    if encoding.kind == "ce":
        return Label(torch.zeros_like(p).scatter_(1, following[:, None], 1.0), heads=1)
    if encoding.kind == "sampled":
        return encode_sampled(p, encoding.parameter, generator, records)
    if encoding.kind == "random":
        return encode_random(p, int(encoding.parameter), generator)
    return encode_top(p, int(encoding.parameter), generator, encoding.kind == "renormalised", records)


# Drawing.


def uniform(like, shape, generator):
    return torch.rand(shape, dtype=torch.float64, generator=generator).to(like.device)


def cumulative(p):
    return p.double().cumsum(-1)


def ids_at(c, x):
    """The id whose share of the cumulative mass c holds x. An id without mass has no share: c does not rise there."""
    below_all = torch.nextafter(c[:, -1:], torch.zeros_like(c[:, -1:]))  # what a rounding moved to the end falls on the last id
    return torch.searchsorted(c, torch.minimum(x, below_all), right=True).clamp_(max=c.shape[-1] - 1)


def encode_random(p, count, generator):
    c = cumulative(p)
    ids = ids_at(c, uniform(p, (len(p), count), generator) * c[:, -1:])
    weight = torch.full_like(ids, 1, dtype=p.dtype) / count
    return Label(torch.zeros_like(p).scatter_add_(1, ids, weight), draws=count)


def encode_sampled(p, tau, generator, records):
    head = p >= tau
    c = cumulative(p.masked_fill(head, 0))
    mass = quantised_tail(c[:, -1:]) if records else c[:, -1:]
    draws = torch.ceil(mass / tau)
    number = torch.arange(math.ceil(1 / tau) + 1, device=p.device)
    # draw m stands at (m + u) / M of the tail, with one u for all of them
    points = (number + uniform(p, (len(p), 1), generator)) / draws.clamp(min=1)
    ids = ids_at(c, points * c[:, -1:])
    weight = torch.where(number < draws, mass / draws.clamp(min=1), 0)
    target = rounded_head(p, head, tau, 1 - mass, generator) if records else p.masked_fill(~head, 0)
    return Label(target.scatter_add_(1, ids, weight.to(p.dtype)), heads=head.sum(-1), draws=draws[:, 0])


def encode_top(p, k, generator, renormalise, records):
    k = min(k, p.shape[-1])
    values, ids = p.topk(k)
    listed = torch.zeros_like(p, dtype=torch.bool).scatter_(1, ids, True)
    if renormalise:
        return Label(torch.zeros_like(p).scatter_(1, ids, values / values.sum(-1, keepdim=True)), heads=k)
    # never 1 - sum(p): a small tail would be rounding alone
    tail = p.masked_fill(listed, 0).sum(-1, keepdim=True, dtype=torch.float64)
    tail = quantised_tail(tail) if records else tail
    target = rounded_head(p, listed, 2.0**-20, 1 - tail, generator) if records else p.masked_fill(~listed, 0)
    return Label(target, heads=k, listed=listed, tail=tail[:, 0].to(p.dtype))


# What a record of retort rounds.


def quantised_tail(mass):
    return torch.round(mass.clamp(max=1) * 65535) / 65535


def rounded_head(p, head, lowest, mass, generator):
    """Values on a scale of 255 powers of the lowest, relative to the head's mass, rounded up or down so that the expected value
    is the true one; then scaled to sum to `mass`, which is what the tail leaves."""
    level = torch.tensor([0.0] + [lowest ** ((LEVELS - 1 - c) / (LEVELS - 2)) for c in range(1, LEVELS)], dtype=torch.float64)
    level = level.to(p.device)
    row, id = head.nonzero(as_tuple=True)
    share = (p[row, id].double() / p.masked_fill(~head, 0).sum(-1, dtype=torch.float64)[row]).clamp(max=1)
    low = (torch.searchsorted(level, share, right=True) - 1).clamp(0, LEVELS - 2)
    up = uniform(p, share.shape, generator) < (share - level[low]) / (level[low + 1] - level[low])
    rounded = torch.zeros(p.shape, dtype=torch.float64, device=p.device)
    rounded[row, id] = level[low + up]
    return (rounded * (mass / rounded.sum(-1, keepdim=True).clamp(min=1e-300))).to(p.dtype)


# Learning.


def logits_gradient(label, log_q):
    """Of the sum over positions of -sum p_hat log q, or of the KL of k + 1 classes, with respect to the logits: q - p_hat. The
    tail class shares its mass among its ids in proportion to q."""
    gradient = log_q.exp().sub_(label.target)
    if label.tail is None:
        return gradient
    log_rest = log_q.masked_fill(label.listed, -torch.inf)
    rest = log_rest.sub_(log_rest.logsumexp(-1, keepdim=True)).exp_().masked_fill_(label.listed, 0)
    return gradient.sub_(rest.mul_(label.tail[:, None]))


def noise(label, p):
    """Sum over positions of |p_hat - p|^2; none for a tail class, whose target depends on the student."""
    return None if label.tail is not None else (label.target - p).square_().sum(dtype=torch.float64).item()


# Self-check.


def expect(condition, text):
    if not condition:
        raise SystemExit(f"label_encodings: not so: {text}")


def loss_by_definition(label, log_q):
    loss = -(label.target * log_q).sum()
    if label.tail is not None:
        loss = loss - (label.tail * log_q.masked_fill(label.listed, -torch.inf).logsumexp(-1)).sum()
    return loss


def check_sum(encoding, label):
    total = label.target.sum(-1, dtype=torch.float64) + (0 if label.tail is None else label.tail)
    expect((total - 1).abs().max() < 1e-5, f"{encoding.name} sums to 1")


def check_gradient(encoding, label, log_q):
    z = log_q.clone().requires_grad_()
    (expected,) = torch.autograd.grad(loss_by_definition(label, F.log_softmax(z, -1)), z)
    expect((logits_gradient(label, log_q) - expected).abs().max() < 1e-6, f"{encoding.name}: gradient of the loss")


def check_draws(p, tau, seed):
    """Against the definition by floors: id j is drawn floor(c_j M / r - u) - floor(c_(j-1) M / r - u) times."""
    label = encode_sampled(p, tau, torch.Generator().manual_seed(seed), False)
    head = p >= tau
    c = p.masked_fill(head, 0).double().cumsum(-1)
    r, u = c[:, -1:], uniform(p, (len(p), 1), torch.Generator().manual_seed(seed))
    scaled = torch.floor(c * torch.ceil(r / tau) / r - u)
    times = scaled.diff(dim=-1, prepend=torch.full_like(u, -1))
    expected = torch.where(head, p, times * r / torch.ceil(r / tau))
    wrong = ((label.target - expected).abs() > 1e-6).any(-1).sum()
    expect(wrong <= len(p) // 50, f"sampled-{tau}: draws by the definition ({wrong} rows differ; a rounding may move some)")
    expect(torch.equal(label.draws, torch.ceil(r / tau)[:, 0]), f"sampled-{tau}: ceil(r / tau) draws")
    expect(torch.equal(label.target[head], p[head]), f"sampled-{tau}: the head is exact")


def check_mean(encoding, p, records):
    """Of many draws for one position: p, to within 6 standard errors. Independent draws have the most variance."""
    rows = p.expand(20000, -1).contiguous()
    label = encode(encoding, rows, torch.Generator().manual_seed(5), torch.zeros(len(rows), dtype=torch.int64), records)
    weight = 1 / encoding.parameter if encoding.kind == "random" else encoding.parameter
    off = (label.target.double().mean(0) - p).abs()
    drawn = 6 * (weight * p.double() / len(rows)).sqrt() + 6 * weight / len(rows)  # a rare id comes by the piece
    head = (p >= encoding.parameter) & (encoding.kind == "sampled")
    limit = drawn.masked_fill(head, 0) + (5e-4 * p.double() + 2e-5 if records else 1e-6 * p.double() + 1e-8)
    expect((off < limit).all(), f"{encoding.name}: the mean of {len(rows)} draws is p (records: {records})")


def check(names):
    """The encoders on random logits of a small vocabulary."""
    random = torch.Generator().manual_seed(1)
    log_p, log_q = (F.log_softmax(3 * torch.randn(200, 700, generator=random), -1) for _ in range(2))
    p, following = log_p.exp(), torch.randint(0, 700, (200,), generator=random)
    for encoding in map(parse, names):
        for records in (False, True):
            label = encode(encoding, p, torch.Generator().manual_seed(2), following, records)
            check_sum(encoding, label)
            check_gradient(encoding, label, log_q)
            if encoding.kind in ("sampled", "random"):
                check_mean(encoding, p[0], records)
        if encoding.kind in ("full", "top_k"):
            still = logits_gradient(encode(encoding, p, None, following), log_p)
            expect(still.abs().max() < 1e-6, f"{encoding.name}: no gradient where the student is the teacher")
        if encoding.kind == "sampled":
            check_draws(p, encoding.parameter, 3)
