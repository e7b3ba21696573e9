"""Normalizing flows. Importing this describes them; torch is imported when one is built."""

from __future__ import annotations

from zoo.registry.cards import Architecture, Family
from zoo.registry.hookspecs import hookimpl

_ARCHITECTURES = (
    Architecture(
        name="nice",
        summary="Additive couplings, which keep volumes, and a scale: both directions in one pass",
        family="flow",
        entry="zoo_flows.nice:NICE",
        paper="Dinh, Krueger & Bengio 2015, NICE, arXiv:1410.8516",
    ),
    Architecture(
        name="realnvp",
        summary="Affine couplings, of vectors or of images at several scales: both directions in one pass",
        family="flow",
        entry="zoo_flows.realnvp:RealNVP",
        paper="Dinh, Sohl-Dickstein & Bengio 2017, Density estimation using Real NVP, arXiv:1605.08803",
    ),
    Architecture(
        name="glow",
        summary="Images through invertible 1×1 convolutions and couplings of channels, at several scales",
        family="flow",
        entry="zoo_flows.glow:Glow",
        paper="Kingma & Dhariwal 2018, Glow: generative flow with invertible 1×1 convolutions, arXiv:1807.03039",
    ),
    Architecture(
        name="nsf-coupling",
        summary="Neural spline flow with coupling layers: exact densities, sampling in one pass",
        family="flow",
        entry="zoo_flows.nsf:NSFCoupling",
        paper="Durkan, Bekasov, Murray & Papamakarios 2019, Neural spline flows, arXiv:1906.04032",
    ),
    Architecture(
        name="nsf-circular",
        summary="Circular splines with coupling layers, for angles and other periodic variables",
        family="flow",
        entry="zoo_flows.nsf_circular:NSFCircular",
        paper="Rezende et al. 2020, Normalizing flows on tori and spheres, arXiv:2002.02428",
    ),
    Architecture(
        name="nsf-ar",
        summary="Neural spline flow with autoregressive layers: exact densities, sampling at the cost of one pass",
        family="flow",
        entry="zoo_flows.nsf_ar:NSFAutoregressive",
        paper="Durkan, Bekasov, Murray & Papamakarios 2019, Neural spline flows, arXiv:1906.04032",
    ),
    Architecture(
        name="maf",
        summary="Masked autoregressive flow: exact densities in one pass, sampling at the cost of one pass",
        family="flow",
        entry="zoo_flows.maf:MAF",
        paper="Papamakarios, Pavlakou & Murray 2017, Masked autoregressive flow, arXiv:1705.07057",
    ),
    Architecture(
        name="iaf",
        summary="Inverse autoregressive flow: samples in one pass, exact densities in many small steps",
        family="flow",
        entry="zoo_flows.iaf:IAF",
        paper="Kingma et al. 2016, Improving variational inference with IAF, arXiv:1606.04934",
    ),
    Architecture(
        name="residual",
        summary="Contractive residual networks without masks or parts: exact densities, samples by a fixed point",
        family="flow",
        entry="zoo_flows.residual:ResidualFlow",
        paper="Chen, Behrmann, Duvenaud & Jacobsen 2019, Residual flows, arXiv:1906.02735",
    ),
    Architecture(
        name="naf",
        summary="Mixtures of sigmoids as autoregressive maps: exact densities in one pass, samples by root finding",
        family="flow",
        entry="zoo_flows.naf:NAF",
        paper="Huang, Krueger, Lacoste & Courville 2018, Neural autoregressive flows, arXiv:1804.00779",
    ),
    Architecture(
        name="umnn",
        summary="Integrals of a positive network as autoregressive maps: exact densities, samples by root finding",
        family="flow",
        entry="zoo_flows.umnn:UMNN",
        paper="Wehenkel & Louppe 2019, Unconstrained monotonic neural networks, arXiv:1908.05164",
    ),
    Architecture(
        name="cnf",
        summary="A differential equation from data to noise, trained by flow matching or by likelihood",
        family="flow",
        entry="zoo_flows.cnf:CNF",
        paper="Grathwohl et al. 2019, FFJORD, arXiv:1810.01367; Lipman et al. 2023, arXiv:2210.02747",
    ),
    Architecture(
        name="tarflow",
        summary="Transformers over patches of vectors or images: densities in one pass, samples patch by patch",
        family="flow",
        entry="zoo_flows.tarflow:TarFlow",
        paper="Zhai et al. 2024, Normalizing flows are capable generative models, arXiv:2412.06329",
    ),
    Architecture(
        name="pixelcnn",
        summary="Images through masked convolutions: exact densities in one pass, samples pixel by pixel",
        family="flow",
        entry="zoo_flows.pixelcnn:PixelCNN",
        paper="van den Oord et al. 2016, Conditional image generation with PixelCNN decoders, arXiv:1606.05328",
    ),
    Architecture(
        name="planar",
        summary="Many transforms that each stretch space along one direction; for few dimensions",
        family="flow",
        entry="zoo_flows.planar:PlanarFlow",
        paper="Rezende & Mohamed 2015, Variational inference with normalizing flows, arXiv:1505.05770",
    ),
    Architecture(
        name="radial",
        summary="Many transforms that each stretch space around a centre; for few dimensions",
        family="flow",
        entry="zoo_flows.radial:RadialFlow",
        paper="Rezende & Mohamed 2015, Variational inference with normalizing flows, arXiv:1505.05770",
    ),
    Architecture(
        name="sylvester",
        summary="Planar transforms of several directions at once",
        family="flow",
        entry="zoo_flows.sylvester:SylvesterFlow",
        paper="van den Berg, Hasenclever, Tomczak & Welling 2018, Sylvester normalizing flows, arXiv:1803.05649",
    ),
)


@hookimpl
def zoo_architectures() -> list[Architecture]:
    """One for each way to be invertible."""
    return list(_ARCHITECTURES)


@hookimpl
def zoo_families() -> list[Family]:
    """``zoo.Flow``."""
    return [Family(name="flow", summary="a normalizing flow of any transforms", entry="zoo_flows.flow:Flow")]
